
// Read-only memory, two cycles from address to word. Its contents are a memory image; define
// QSNN_MEMORY_DIR as a quoted path if the images are not in the working directory's memory/.
`ifndef QSNN_MEMORY_DIR
`define QSNN_MEMORY_DIR "memory"
`endif
module qsnn_rom #(
    parameter WIDTH = 1,
    parameter DEPTH = 1,
    parameter ADDRESS = 1,
    parameter FILE = ""
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
    initial $readmemh({`QSNN_MEMORY_DIR, "/", FILE}, memory);
    always @(posedge clk) begin
        read <= memory[address];
        word <= read;
    end
endmodule
