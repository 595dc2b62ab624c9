
// qsnn_ram in the four single-port RAMs of an iCE40UP5K side by side: up to 64 bits and 16 Ki
// words, without first contents. Where there are none of these it is a qsnn_ram.
module qsnn_spram #(
    parameter WIDTH = 1,
    parameter DEPTH = 1,
    parameter ADDRESS = 1,
    parameter FILE = "",
    parameter MEMORY_DIR = ""
) (
    input wire clk,
    input wire [ADDRESS-1:0] address,
    output wire [WIDTH-1:0] word,
    input wire [ADDRESS-1:0] at,
    input wire [7:0] data,
    input wire [(WIDTH+7)/8-1:0] write
);
`ifdef QSNN_ICE40
    wire [7:0] mask = write;
    wire [13:0] place = |write ? at : address;
    wire [63:0] read;
    reg [WIDTH-1:0] read_register;
    assign word = read_register;
    genvar k;
    generate for (k = 0; k < 4; k = k + 1) begin : column
        SB_SPRAM256KA ram (
            .CLOCK(clk), .ADDRESS(place), .DATAIN({data, data}), .DATAOUT(read[16*k +: 16]),
            .WREN(|write), .CHIPSELECT(1'b1), .STANDBY(1'b0), .SLEEP(1'b0), .POWEROFF(1'b1),
            .MASKWREN({mask[2*k+1], mask[2*k+1], mask[2*k], mask[2*k]}));
    end endgenerate
    always @(posedge clk) read_register <= read[WIDTH-1:0];
`else
    qsnn_ram #(.WIDTH(WIDTH), .DEPTH(DEPTH), .ADDRESS(ADDRESS), .FILE(FILE),
               .MEMORY_DIR(MEMORY_DIR)) ram (
        .clk(clk), .address(address), .word(word), .at(at), .data(data), .write(write));
`endif
endmodule
