// Drives the pins of a flash's model from a file: a line of hexadecimal digits a cycle of 20 ns,
// {CS, SCK, lines driven 4, lines 4}. Prints what the chip drives where the clock rises, and at the
// end whether it has complained. The chip has 256 bytes, 0, 1, 2 and so on.
module flash_pins;
    parameter integer ROWS = 0; // of the file
    parameter integer QE = 0, DOWN = 0, READING = 0, TSCK = 40000, SIMULATED = 256, STATUS = 'h31;
    reg [9:0] rows [0:ROWS];
    reg [9:0] row = 10'h200;
    reg clk = 0, was_high = 0;
    wire [3:0] lines, driven;
    wire error;
    integer n;
    flash #(.PERIOD(20000), .SIZE(256), .SIMULATED(SIMULATED), .TSCK(TSCK), .RELEASE(200000),
            .RESET(400000), .DESELECT(60000), .DESELECT_READ(40000), .START_QE(QE),
            .START_DOWN(DOWN), .START_CONTINUOUS(READING), .WRITE_STATUS(STATUS), .LOAD(0),
            .FATAL(0)) chip (
        .clk(clk), .cs_n(row[9]), .sck(row[8]), .io_oe(row[7:4]), .io_i(row[3:0]),
        .io_o(lines), .driven(driven), .error(error));
    initial begin
        $readmemh("rows.hex", rows, 0, ROWS - 1);
        #1 for (n = 0; n < SIMULATED; n = n + 1) chip.memory[n] = n;
        for (n = 0; n < ROWS; n = n + 1) begin
            row = rows[n];
            #5 if (row[8] && !was_high && driven != 0) $display("read %b %h", driven, lines & driven);
            was_high = row[8];
            clk = 1;
            #5 clk = 0;
        end
        if (!error) $display("good");
    end
endmodule
