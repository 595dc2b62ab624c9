// Drives the pins of an SDRAM's model from a file: a line of hexadecimal digits a cycle, from the
// top {8 zeros, DQM 2, CKE, CS, RAS, CAS, WE, DQ driven, bank 2, address 13, data 16}. Prints what
// the chip drives, and at the end whether it has complained.
module sdram_pins;
    parameter integer ROWS = 0; // of the file
    reg [46:0] rows [0:ROWS];
    reg [46:0] row = 47'h0f << 33;
    reg clk = 0;
    wire [15:0] dq;
    wire driven, error;
    integer n;
    sdram #(.ROW_BITS(11), .COLUMN_BITS(8), .PERIOD(10000), .PAUSE(1000000), .REFRESH(2000000),
            .POSTPONED(2), .TRAS_MAX(3000000), .TRC(90000), .SIMULATED_BITS(14),
            .FATAL(0)) chip (
        .clk(clk), .cke(row[36]), .cs_n(row[35]), .ras_n(row[34]), .cas_n(row[33]), .we_n(row[32]),
        .dqm(row[38:37]), .dq_oe(row[31]), .ba(row[30:29]), .a(row[28:16]), .dq_i(row[15:0]),
        .dq_o(dq), .driven(driven), .error(error));
    initial begin
        $readmemh("rows.hex", rows, 0, ROWS - 1);
        for (n = 0; n < ROWS; n = n + 1) begin
            row = rows[n];
            #5 if (driven) $display("read %0d %h", n, dq);
            clk = 1;
            #5 clk = 0;
        end
        if (!error) $display("good");
    end
endmodule
