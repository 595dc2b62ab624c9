// A program and images on the emitted engine, for simulators without C++.
//
// program.hex: words of 32 bits. images.hex: bytes. Prints a line "score label last" for each score,
// and ends after SCORES of them. In half of the cycles memory, pixels and results wait.
`timescale 1ns / 1ps
module engine_tb;
    parameter WORDS = 1, BYTES = 1, SCORES = 1, IMAGES = 1;
    reg clk = 0, rst = 1;
    reg [31:0] program [0:WORDS-1];
    reg [7:0] images [0:BYTES-1];
    integer at = 0, pixel = 0, got = 0, idle = 0;
    reg program_valid = 0, i_valid = 0, o_ready = 0;
    wire program_ready, i_ready, o_valid;
    wire [48:0] o_payload;
    engine engine(
        .clk(clk), .rst(rst), .images(IMAGES - 1),
        .program_payload(program[at]), .program_valid(program_valid), .program_ready(program_ready),
        .i_payload(pixel < BYTES ? images[pixel] : 8'd0), .i_valid(i_valid), .i_ready(i_ready),
        .o_payload(o_payload), .o_valid(o_valid), .o_ready(o_ready));
    initial begin
        $readmemh("program.hex", program);
        $readmemh("images.hex", images);
        #42 rst = 0;
    end
    always #5 clk = ~clk;
    always @(posedge clk) if (!rst) begin
        idle <= idle + 1;
        if (program_valid && program_ready) at <= at == WORDS - 1 ? 0 : at + 1;
        if (!program_valid || program_ready) program_valid <= $random;
        if (i_valid && i_ready) pixel <= pixel + 1;
        if (!i_valid || i_ready)
            i_valid <= pixel + (i_valid && i_ready) < BYTES && ($random & 1);
        o_ready <= $random;
        if (o_valid && o_ready) begin
            $display("%0d %0d %0d", $signed(o_payload[31:0]), o_payload[47:32], o_payload[48]);
            got <= got + 1;
            idle <= 0;
            if (got == SCORES - 1) $finish;
        end
        if (idle > 1000000) begin
            $display("hangs");
            $finish;
        end
    end
endmodule
