
// Accumulator: total <= first ? term : total + term. Written with the carry cells of a family, the
// choice fits into the LUTs of the adder; synthesis from the plain text takes one more LUT a bit.
// Define QSNN_ICE40 or QSNN_ECP5 for these.
module qsnn_accumulator #(
    parameter WIDTH = 1
) (
    input wire clk,
    input wire enable,
    input wire first,
    input wire [WIDTH-1:0] term,
    output reg [WIDTH-1:0] total
);
    wire [WIDTH-1:0] next;
`ifdef QSNN_ICE40
    wire [WIDTH:0] carry;
    assign carry[0] = 1'b0;
    genvar k;
    generate for (k = 0; k < WIDTH; k = k + 1) begin : place
        SB_CARRY add (.I0(total[k]), .I1(term[k]), .CI(carry[k]), .CO(carry[k+1]));
        // I0 ? I2 : I1 ^ I2 ^ I3
        SB_LUT4 #(.LUT_INIT(16'hE1B4)) sum (
            .I0(first), .I1(total[k]), .I2(term[k]), .I3(carry[k]), .O(next[k]));
    end endgenerate
`elsif QSNN_ECP5
    localparam PAIRS = (WIDTH + 1) / 2;
    wire [2*PAIRS:0] addend = {1'b0, term}, augend = {1'b0, total};
    wire [2*PAIRS-1:0] result;
    wire [PAIRS:0] carry;
    assign carry[0] = 1'b0;
    assign next = result[WIDTH-1:0];
    genvar k;
    generate for (k = 0; k < PAIRS; k = k + 1) begin : place
        // D is 1: C ? B : A ^ B goes into the sum; without a sum, B is the carry
        CCU2C #(.INIT0(16'hC60C), .INIT1(16'hC60C), .INJECT1_0("NO"), .INJECT1_1("NO")) add (
            .A0(augend[2*k]), .B0(addend[2*k]), .C0(first), .D0(1'b1),
            .A1(augend[2*k+1]), .B1(addend[2*k+1]), .C1(first), .D1(1'b1),
            .CIN(carry[k]), .S0(result[2*k]), .S1(result[2*k+1]), .COUT(carry[k+1]));
    end endgenerate
`else
    assign next = (first ? {WIDTH{1'b0}} : total) + term;
`endif
    always @(posedge clk)
        if (enable) total <= next;
endmodule
