// PLLs as wires: a simulation runs at one clock, whatever the board's oscillator is.

module SB_PLL40_PAD #(
    parameter FEEDBACK_PATH = "", DIVR = 0, DIVF = 0, DIVQ = 0, FILTER_RANGE = 0
) (
    input PACKAGEPIN, RESETB, BYPASS,
    output PLLOUTGLOBAL, LOCK
);
    assign {PLLOUTGLOBAL, LOCK} = {PACKAGEPIN, 1'b1};
endmodule

module SB_PLL40_CORE #(
    parameter FEEDBACK_PATH = "", DIVR = 0, DIVF = 0, DIVQ = 0, FILTER_RANGE = 0
) (
    input REFERENCECLK, RESETB, BYPASS,
    output PLLOUTGLOBAL, LOCK
);
    assign {PLLOUTGLOBAL, LOCK} = {REFERENCECLK, 1'b1};
endmodule

module EHXPLLL #(
    parameter PLLRST_ENA = "", INTFB_WAKE = "", STDBY_ENABLE = "", DPHASE_SOURCE = "",
    OUTDIVIDER_MUXA = "", OUTDIVIDER_MUXB = "", OUTDIVIDER_MUXC = "", OUTDIVIDER_MUXD = "",
    CLKI_DIV = 0, CLKFB_DIV = 0, FEEDBK_PATH = "", CLKOP_ENABLE = "", CLKOP_DIV = 0,
    CLKOP_CPHASE = 0, CLKOP_FPHASE = 0
) (
    input CLKI, CLKFB, RST, STDBY, PHASESEL0, PHASESEL1, PHASEDIR, PHASESTEP, PHASELOADREG,
    input PLLWAKESYNC, ENCLKOP,
    output CLKOP, LOCK
);
    assign {CLKOP, LOCK} = {CLKI, 1'b1};
endmodule
