
// Read-only memory, two cycles from address to word. Its contents are a memory image.
module qsnn_rom #(
    parameter WIDTH = 1,
    parameter DEPTH = 1,
    parameter ADDRESS = 1,
    parameter FILE = "",
    parameter MEMORY_DIR = ""
) (
    input wire clk,
    input wire [ADDRESS-1:0] address,
    output reg [WIDTH-1:0] word
);
`ifdef QSNN_BLOCK_RAM  // even a small one
    (* ram_style = "block" *)
`endif
    reg [WIDTH-1:0] memory [0:DEPTH-1];
    reg [WIDTH-1:0] read;
    generate if (FILE != "") begin : contents  // else some tools try to read it
        initial $readmemh({MEMORY_DIR, "/", FILE}, memory);
    end endgenerate
    always @(posedge clk) begin
        read <= memory[address];
        word <= read;
    end
endmodule
