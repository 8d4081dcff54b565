//! Makes processes and writes the truth about them to a file.

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    return procscope_tests::workload::main(std::env::args_os());
    #[cfg(not(target_os = "linux"))]
    {
        eprintln!("error: ps-workload makes Linux processes, and this is another system");
        ExitCode::FAILURE
    }
}
