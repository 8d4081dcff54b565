//! Runs the parts of the kernel matrix in a guest, as its first process.

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    return procscope_tests::matrix::main();
    #[cfg(not(target_os = "linux"))]
    {
        eprintln!("error: ps-matrix is the first process of a Linux guest, and this is another system");
        ExitCode::FAILURE
    }
}
