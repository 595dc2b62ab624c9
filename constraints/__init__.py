"""Pins and clocks of each board, one file a board: read by :mod:`qsnn.hw.board.boards`."""
