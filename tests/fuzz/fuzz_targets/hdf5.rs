#![no_main]

ekiben_fuzz::reader!(Hdf5);
