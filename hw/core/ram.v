
// Memory that a host can load, two cycles from address to word. Its first contents are a memory
// image, see qsnn_rom. Bytes are written: a mask, and one value for all bytes of the word.
module qsnn_ram #(
    parameter WIDTH = 1,
    parameter DEPTH = 1,
    parameter ADDRESS = 1,
    parameter FILE = "",
    parameter MEMORY_DIR = ""
) (
    input wire clk,
    input wire [ADDRESS-1:0] address,
    output reg [WIDTH-1:0] word,
    input wire [ADDRESS-1:0] at,
    input wire [7:0] data,
    input wire [(WIDTH+7)/8-1:0] write
);
`ifdef QSNN_BLOCK_RAM  // even a small one
    (* ram_style = "block" *)
`endif
    (* no_rw_check *) reg [WIDTH-1:0] memory [0:DEPTH-1];
    reg [WIDTH-1:0] read;
    integer k;
    generate if (FILE != "") begin : contents  // else some tools try to read it
        initial $readmemh({MEMORY_DIR, "/", FILE}, memory);
    end endgenerate
    always @(posedge clk) begin
        for (k = 0; k < WIDTH; k = k + 1)
            if (write[k / 8]) memory[at][k] <= data[k % 8];
        read <= memory[address];
        word <= read;
    end
endmodule
