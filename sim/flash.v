// A serial flash that checks how it is used: as a W25Q128JV, whose commands RELEASE, ENABLE_RESET,
// RESET, READ_STATUS, WRITE_VOLATILE, WRITE_STATUS and FAST_READ_QUAD are there, and power-down.
// Times are in picoseconds, as its data sheet has them, and counted in periods of clk. What breaks a
// rule prints a sentence and ends the simulation, or where FATAL is 0, raises error for good.
//
// io_i and io_oe are what the controller drives; io_o is noise where driven says that the chip
// drives nothing. The first bytes come from the file flash.hex, a byte a line; others are erased.
module flash #(
    parameter integer PERIOD = 20000, // of clk
    parameter integer SIZE = 1 << 24,
    parameter integer SIMULATED = 1 << 16, // bytes that are there; SIZE to wrap at the end
    parameter integer DUMMY = 4, parameter integer CONTINUOUS = 2, // bits 5 and 4 of the mode
    parameter integer WRITE_STATUS = 'h31,
    parameter integer TSCK = 7500, // shortest period of the clock
    parameter integer RELEASE = 3000000, parameter integer RESET = 30000000,
    parameter integer DESELECT = 50000, parameter integer DESELECT_READ = 10000,
    parameter integer START_CONTINUOUS = 0, parameter integer START_DOWN = 0,
    parameter integer START_QE = 0, // the bit that power does not erase
    parameter integer LOAD = 1, parameter integer FATAL = 1
) (
    input clk, input cs_n, input sck, input [3:0] io_i, input [3:0] io_oe,
    output reg [3:0] io_o, output reg [3:0] driven, output reg error
);
    localparam COMMAND = 0, ADDRESS = 1, WAIT = 2, DATA = 3, STATUS = 4, VALUE = 5, DONE = 6;
    reg [7:0] memory [0:SIMULATED-1];
    reg [63:0] now, busy_until, risen, ended;
    reg [2:0] phase;
    reg [31:0] bits;
    integer count;
    reg [7:0] command;
    reg [23:0] address;
    reg half, continuous, down, qe, volatile_write, reset_enabled, after_read, selected;
    integer i;

    task fail(input [8*64-1:0] sentence);
        begin
            if (!error) $display("flash: cycle %0d: %0s", now, sentence);
            error = 1;
            if (FATAL != 0) $fatal(1, "flash");
        end
    endtask

    function [7:0] byte_at(input [23:0] place);
        byte_at = place < SIMULATED ? memory[place] : 8'hff;
    endfunction

    initial begin
        for (i = 0; i < SIMULATED; i = i + 1) memory[i] = 8'hff;
        if (LOAD != 0) $readmemh("flash.hex", memory);
        now = 0; busy_until = 0; risen = 0; ended = 0; phase = DONE; bits = 0; count = 0; command = 0;
        address = 0; half = 0; continuous = START_CONTINUOUS; down = START_DOWN; qe = START_QE != 0;
        if (START_CONTINUOUS != 0) qe = 1;
        volatile_write = 0; reset_enabled = 0; after_read = 0; selected = 0;
        io_o = 4'h5; driven = 0; error = 0;
    end

    always @(posedge clk) begin
        now = now + 1;
        if ((driven & io_oe) != 0) fail("both drive a line");
        if (!cs_n && !qe && io_oe[3] && !io_i[3]) fail("HOLD is low");
    end

    always @(negedge cs_n) begin
        selected = 1;
        if (now < busy_until) fail("the chip is not ready for a command");
        if (ended != 0 && (now - ended) * PERIOD < (after_read ? DESELECT_READ : DESELECT))
            fail("the chip was not deselected for long enough");
        if (sck) fail("selected while the clock is high");
        phase = continuous && !down ? ADDRESS : COMMAND;
        count = 0; bits = 0; risen = 0; after_read = 0;
    end

    always @(posedge cs_n) if (selected) begin
        selected = 0;
        ended = now;
        driven <= 0;
        // a continuous read may be cut short to end it; so may the data
        if (phase == COMMAND || phase == VALUE || phase == WAIT) fail("a command was cut short");
        if (phase == ADDRESS && count != 0) fail("an address was cut short");
        if (phase == DONE && command == WRITE_STATUS) qe = bits[1];
        if (phase == DONE && command == 8'hab) begin
            if (down) busy_until = now + (RELEASE + PERIOD - 1) / PERIOD;
            down = 0;
        end
        if (phase == DONE && command == 8'hb9) down = 1;
        if (phase == DONE && command == 8'h99) begin
            busy_until = now + (RESET + PERIOD - 1) / PERIOD;
            qe = START_QE != 0; continuous = 0;
        end
        volatile_write = phase == DONE && command == 8'h50;
        reset_enabled = phase == DONE && command == 8'h66;
        after_read = phase == DATA;
    end

    always @(posedge sck) if (!cs_n) begin
        if (risen != 0 && (now - risen) * PERIOD < TSCK) fail("the clock is too fast");
        risen = now;
        count = count + 1;
        case (phase)
            COMMAND: begin
                if (!io_oe[0]) fail("nothing drives the command");
                bits = {bits[30:0], io_i[0]};
                if (count == 8) start(bits[7:0]);
            end
            ADDRESS: begin
                if (io_oe != 4'hf) fail("nothing drives the address");
                bits = {bits[27:0], io_i};
                if (count == 8) begin
                    address = bits[31:8];
                    continuous = bits[5:4] == CONTINUOUS;
                    half = 0; count = 0;
                    phase = bits[31:0] == 32'hffffffff ? DONE : WAIT;
                    command = 8'heb;
                end
            end
            WAIT: if (count == DUMMY) phase = DATA;
            VALUE: begin
                if (!io_oe[0]) fail("nothing drives the value");
                bits = {bits[30:0], io_i[0]};
                if (count == (WRITE_STATUS == 1 ? 16 : 8)) phase = DONE;
            end
            DONE: if (command != 8'hff && command != 8'heb) fail("clocks behind a command");
        endcase
    end

    always @(negedge sck) if (!cs_n) begin
        if (phase == DATA) begin
            if (address >= SIMULATED && SIMULATED != SIZE) fail("a byte that is not simulated");
            driven <= 4'hf;
            io_o <= half ? byte_at(address) : byte_at(address) >> 4;
            if (half) address = address == SIZE - 1 ? 0 : address + 1;
            half = !half;
        end else if (phase == STATUS) begin
            driven <= 4'h2;
            io_o <= {2'b01, count < 17 && (qe && count == 14), 1'b0};
        end else begin
            driven <= 0;
            io_o <= now[3:0] ^ 4'h6;
        end
    end

    task start(input [7:0] given);
        begin
            command = given; count = 0; bits = 0;
            phase = DONE;
            if (down && given != 8'hab && given != 8'hff) fail("a command in power-down");
            case (given)
                8'hff, 8'hab, 8'h66, 8'hb9, 8'h50: ;
                8'h99: if (!reset_enabled) fail("a reset that was not enabled");
                8'h35: begin phase = STATUS; count = 8; end
                8'heb: begin
                    phase = ADDRESS;
                    if (!qe) fail("a read on four lines without QE");
                end
                default:
                    if (given == WRITE_STATUS) begin
                        phase = VALUE;
                        if (!volatile_write) fail("a write to the status that was not enabled");
                    end else fail("a command that is not modelled");
            endcase
        end
    endtask
endmodule
