// Block RAM of an ECP5, as Yosys uses it: no output register. A side that writes keeps its output,
// or reads what was there before (OLD). A port of 36 bits writes on side A, reads on side B, and has
// its lower half on the pins of A.
module qsnn_dp16kd #(
    parameter [18431:0] INIT = 0,
    parameter WIDTH_A = 18,
    parameter WIDTH_B = 18,
    parameter OLD_A = 0,
    parameter OLD_B = 0
) (
    input CLKA, CEA, OCEA, WEA, RSTA, CLKB, CEB, OCEB, WEB, RSTB,
    input [2:0] CSA, CSB,
    input [13:0] ADA, ADB,
    input [17:0] DIA, DIB,
    output [17:0] DOA, DOB
);
    reg [17:0] memory [0:1023];
    integer k;
    initial for (k = 0; k < 1024; k = k + 1) memory[k] = INIT[18*k +: 18];

    reg [17:0] a = 0, b = 0, low = 0;
    assign DOA = WIDTH_B == 36 ? low : a;
    assign DOB = b;

    // the bits of its word that a narrow port has: a ninth of nine only where it has nine
    function [4:0] place(input [13:0] address, input integer width);
        place = (width < 18 && address[3] ? 9 : 0)
            + (width == 4 ? {address[2], 2'b0} : width == 2 ? {address[2:1], 1'b0}
               : width == 1 ? address[2:0] : 0);
    endfunction
    function [17:0] mask(input [13:0] address, input integer width);
        mask = width >= 18 ? {{9{address[1]}}, {9{address[0]}}}
            : ((18'd1 << width) - 18'd1) << place(address, width);
    endfunction

    always @(posedge CLKA) if (CEA && CSA == 0) begin
        if (WEA && WIDTH_A == 36) begin
            memory[{ADA[13:5], 1'b0}] <= DIA & mask(ADA, 18)
                | memory[{ADA[13:5], 1'b0}] & ~mask(ADA, 18);
            memory[{ADA[13:5], 1'b1}] <= DIB & mask(ADA >> 2, 18)
                | memory[{ADA[13:5], 1'b1}] & ~mask(ADA >> 2, 18);
        end else if (WEA)
            memory[ADA[13:4]] <= DIA << place(ADA, WIDTH_A) & mask(ADA, WIDTH_A)
                | memory[ADA[13:4]] & ~mask(ADA, WIDTH_A);
        if (!WEA || OLD_A)
            a <= memory[ADA[13:4]] >> place(ADA, WIDTH_A);
    end
    always @(posedge CLKB) if (CEB && CSB == 0) begin
        if (WIDTH_B == 36) begin
            low <= memory[{ADB[13:5], 1'b0}];
            b <= memory[{ADB[13:5], 1'b1}];
        end else if (WEB)
            memory[ADB[13:4]] <= DIB << place(ADB, WIDTH_B) & mask(ADB, WIDTH_B)
                | memory[ADB[13:4]] & ~mask(ADB, WIDTH_B);
        if (WIDTH_B != 36 && (!WEB || OLD_B))
            b <= memory[ADB[13:4]] >> place(ADB, WIDTH_B);
    end
endmodule
