// An SDRAM with single data rate and four banks that checks how it is used: JEDEC's commands, with
// bursts of one. Times are in picoseconds, as its data sheet has them. What breaks a rule prints a
// sentence and ends the simulation, or where FATAL is 0, raises error for good.
//
// dq_i and dq_oe are what the controller drives; dq_o is noise while the chip drives nothing. Of a
// large chip, the first 1 << SIMULATED_BITS places are there: columns count first, then banks.
module sdram #(
    parameter integer WIDTH = 16, parameter integer ROW_BITS = 13,
    parameter integer COLUMN_BITS = 9, parameter integer ADDRESS_BITS = 13,
    parameter integer SIMULATED_BITS = 16, parameter integer PERIOD = 10000,
    parameter integer TRCD = 21000, parameter integer TRP = 21000,
    parameter integer TRAS = 42000, parameter integer TRAS_MAX = 100000000,
    parameter integer TRC = 63000, parameter integer TRRD = 14000,
    parameter integer TRFC = 63000, parameter integer TWR = 14000,
    parameter integer TMRD = 14000,
    parameter integer REFRESH = 7812500, // on average,
    parameter integer POSTPONED = 8, // and so many may be missing at a time, or be ahead
    parameter integer PAUSE = 200000000, parameter integer POWER_UP_REFRESHES = 8,
    parameter integer CAS2_PERIOD = 10000, parameter integer CAS3_PERIOD = 7000, // the shortest
    parameter integer FATAL = 1
) (
    input clk, input cke, input cs_n, input ras_n, input cas_n, input we_n,
    input [1:0] ba, input [ADDRESS_BITS-1:0] a, input [WIDTH/8-1:0] dqm,
    input [WIDTH-1:0] dq_i, input dq_oe,
    output reg [WIDTH-1:0] dq_o, output reg driven, output reg error
);
    localparam PLACE_BITS = ROW_BITS + 2 + COLUMN_BITS;
    localparam WR_CYCLES = TWR > 2 * PERIOD ? (TWR + PERIOD - 1) / PERIOD : 2;
    localparam [63:0] START = 64'd1 << 32; // later than all times that were never set

    reg [WIDTH-1:0] memory [0:(1 << SIMULATED_BITS) - 1];
    reg known [0:(1 << SIMULATED_BITS) - 1];
    reg [63:0] now, act_any, refreshed, moded;
    reg [63:0] act [0:3], pre [0:3], wrote [0:3]; // pre: when its precharge begins or began
    reg [ROW_BITS-1:0] row [0:3];
    reg [3:0] open;
    reg enabled, precharged, mode_set;
    reg [2:0] cas;
    integer refreshes, debt;

    reg [WIDTH-1:0] out [1:2];
    reg [2:1] out_valid;
    reg was_driven;
    reg [PLACE_BITS-1:0] place;
    integer b;

    task fail(input [8*64-1:0] sentence);
        begin
            if (!error) $display("sdram: cycle %0d: %0s", now - START, sentence);
            error = 1;
            if (FATAL != 0) $fatal(1, "sdram");
        end
    endtask

    function since(input [63:0] moment, input integer least); // least picoseconds ago
        since = now >= moment && (now - moment) * PERIOD >= least;
    endfunction

    task idle; // what a refresh and the mode need
        begin
            if (open != 0) fail("a bank is open");
            for (b = 0; b < 4; b = b + 1)
                if (!since(pre[b], TRP)) fail("tRP: a precharge is not over");
        end
    endtask

    task between; // what every command needs
        begin
            if ((now - START) * PERIOD < PAUSE) fail("a command in the power-up pause");
            if (!since(refreshed, TRFC)) fail("tRFC: a refresh is not over");
            if (!since(moded, TMRD) || now - moded < 2) fail("tMRD: the mode is being set");
        end
    endtask

    task close(input [1:0] bank);
        begin
            if (now < pre[bank]) fail("a precharge cuts one that comes of its own accord");
            if (open[bank]) begin
                if (!since(act[bank], TRAS)) fail("tRAS: a row is closed too early");
                if (!since(wrote[bank], TWR) || now - wrote[bank] < WR_CYCLES)
                    fail("tWR: a row is closed too early behind a write");
                if (since(act[bank], TRAS_MAX + 1)) fail("tRAS: a row was open for too long");
                open[bank] = 0;
                pre[bank] = now;
            end
        end
    endtask

    task access(input write);
        begin
            if (!open[ba]) fail("no row of this bank is open");
            if (!since(act[ba], TRCD)) fail("tRCD: a row is not open yet");
            if (|dqm) fail("data are masked: not modelled");
            if (a >> 11 != 0 || (a & 11'h3ff) >> COLUMN_BITS != 0) fail("no such column");
            place = {row[ba], ba, a[COLUMN_BITS-1:0]};
            if (place >> SIMULATED_BITS != 0) fail("a place that is not simulated");
            if (write) begin
                if (!dq_oe) fail("nothing drives the data to write");
                memory[place[SIMULATED_BITS-1:0]] = dq_i;
                known[place[SIMULATED_BITS-1:0]] = 1;
                wrote[ba] = now;
            end else begin
                if (!known[place[SIMULATED_BITS-1:0]]) fail("a place is read that was not written");
                out[1] = memory[place[SIMULATED_BITS-1:0]];
                out_valid[1] = 1;
            end
            if (a[10]) begin
                open[ba] = 0;
                pre[ba] = now + (write ? WR_CYCLES : 1);
                if ((pre[ba] - act[ba]) * PERIOD < TRAS) fail("tRAS: a row closes itself too early");
                if ((pre[ba] - act[ba]) * PERIOD > TRAS_MAX) fail("tRAS: a row was open for too long");
            end
        end
    endtask

    integer i;
    initial begin
        for (i = 0; i < 1 << SIMULATED_BITS; i = i + 1) known[i] = 0;
        for (i = 0; i < 4; i = i + 1) begin act[i] = 0; pre[i] = 0; wrote[i] = 0; row[i] = 0; end
        now = START; act_any = 0; refreshed = 0; moded = 0;
        open = 0; enabled = 0; precharged = 0; mode_set = 0; cas = 0; refreshes = 0; debt = 0;
        out_valid = 0; out[1] = 0; out[2] = 0; was_driven = 0; driven = 0; dq_o = 0; error = 0;
    end

    always @(posedge clk) begin
        // reads that are under way: driven from CAS - 1 edges behind the read to the next one
        if (driven && dq_oe) fail("both drive the data");
        else if (was_driven && dq_oe) fail("no cycle of rest before the other drives the data");
        was_driven = driven;
        driven <= cas == 2 ? out_valid[1] : out_valid[2];
        dq_o <= cas == 2 && out_valid[1] ? out[1] : cas == 3 && out_valid[2] ? out[2]
            : {WIDTH/8{8'h5b}} ^ now[WIDTH-1:0];
        out[2] = out[1];
        out_valid[2] = out_valid[1];
        out_valid[1] = 0;

        if (enabled && !cke) fail("CKE falls: not modelled");
        if (cke) enabled = 1;
        if (!precharged && (now - START) * PERIOD < PAUSE && !(&dqm))
            fail("DQM is low in the power-up pause");
        if (cke && !cs_n) case ({ras_n, cas_n, we_n})
            3'b111: ;
            3'b011: begin
                between;
                if (!mode_set) fail("a row is opened before the mode is set");
                if (open[ba]) fail("a row is opened in a bank that has one open");
                if (!since(pre[ba], TRP)) fail("tRP: a row is opened too early behind a precharge");
                if (!since(act[ba], TRC)) fail("tRC: a row is opened too early in this bank");
                if (!since(act_any, TRRD)) fail("tRRD: a row is opened too early behind another");
                if (a >> ROW_BITS != 0) fail("no such row");
                open[ba] = 1; row[ba] = a[ROW_BITS-1:0]; act[ba] = now; act_any = now;
            end
            3'b101: begin between; access(0); end
            3'b100: begin between; access(1); end
            3'b010: begin
                between;
                if (a[10]) begin
                    for (i = 0; i < 4; i = i + 1) close(i[1:0]);
                    if (!precharged) for (i = 0; i < 4; i = i + 1) pre[i] = now;
                    precharged = 1;
                end else close(ba);
            end
            3'b001: begin
                between; idle;
                if (!precharged) fail("a refresh before the first precharge of all banks");
                refreshed = now;
                refreshes = refreshes + 1;
                debt = refreshes <= POWER_UP_REFRESHES ? 0 : debt - REFRESH;
                if (debt < -POSTPONED * REFRESH) debt = -POSTPONED * REFRESH;
            end
            3'b000: begin
                between; idle;
                if (refreshes < POWER_UP_REFRESHES) fail("the mode is set before the refreshes");
                if (a[2:0] != 0) fail("bursts of more than one: not modelled");
                if (a[3] || a >> 7 != 0 || ba != 0) fail("a mode that is reserved, or not modelled");
                cas = a[6:4];
                if (cas != 2 && cas != 3) fail("a CAS latency that does not exist");
                if (PERIOD < (cas == 2 ? CAS2_PERIOD : CAS3_PERIOD)) fail("CAS: the clock is too fast");
                mode_set = 1; moded = now;
            end
            default: fail("a burst is ended: not modelled");
        endcase
        if (refreshes >= POWER_UP_REFRESHES) debt = debt + PERIOD;
        if (debt > POSTPONED * REFRESH) fail("refreshes are missing");
        now = now + 1;
    end
endmodule
