"""Commands: parse arguments, call one function of :mod:`qsnn`. ``qsnn --help`` lists them."""
