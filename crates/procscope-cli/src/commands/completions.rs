use std::process::ExitCode;

use clap_complete::Shell;

use crate::args::{self, Completions};
use crate::failure::Failure;
use crate::output;
use crate::render::columns::Columns;

/// Prints the script of a shell.
pub(crate) fn run(completions: &Completions) -> Result<ExitCode, Failure> {
    // Not straight to the output: clap_complete panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(completions.shell, &mut args::command_with_personas(), "procscope", &mut script);
    if completions.shell == Shell::Bash {
        script.extend_from_slice(bash_lists().as_bytes());
    }
    output::print(&script)?;
    Ok(ExitCode::SUCCESS)
}

/// Bash takes a list for one word: this offers what may follow its last comma.
fn bash_lists() -> String {
    let columns = Columns::all_names().collect::<Vec<_>>().join(" ");
    format!(
        r#"
_procscope_lists() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}}
    if [[ ${{COMP_WORDS[COMP_CWORD - 1]}} == --columns && $cur == *,* ]]; then
        COMPREPLY=($(compgen -P "${{cur%,*}}," -W "{columns}" -- "${{cur##*,}}"))
    else
        _procscope "$@"
    fi
}}
complete -F _procscope_lists -o nosort -o bashdefault -o default procscope
"#
    )
}
