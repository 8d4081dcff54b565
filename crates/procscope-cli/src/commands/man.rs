use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap_mangen::roff::{Roff, roman};

use crate::args::{self, Man, help};
use crate::failure::{Failure, describe};
use crate::output;

/// Prints the manual page, or writes all of them to a directory.
pub(crate) fn run(man: &Man) -> Result<ExitCode, Failure> {
    let pages = pages().map_err(|error| Failure {
        what: "cannot make the manual pages".to_owned(),
        cause: describe(&error),
        help: "read procscope --help instead".to_owned(),
    })?;
    match &man.dir {
        None => output::print(&pages[0].text)?,
        Some(dir) => write(&pages, dir).map_err(|error| Failure {
            what: format!("cannot write manual pages to {}", dir.display()),
            cause: describe(&error),
            help: "name a directory that you may write: procscope man DIR".to_owned(),
        })?,
    }
    Ok(ExitCode::SUCCESS)
}

struct Page {
    file: String,
    text: Vec<u8>,
}

fn write(pages: &[Page], dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    pages.iter().try_for_each(|page| fs::write(dir.join(&page.file), &page.text))
}

/// The page of the program, then one for each command.
fn pages() -> io::Result<Vec<Page>> {
    let mut top = args::command_with_personas();
    top.build();
    let names: Vec<_> = std::iter::once(&top).chain(top.get_subcommands()).map(name).collect();
    std::iter::once(&top).chain(top.get_subcommands()).map(|command| page(command, &names)).collect()
}

fn name(command: &clap::Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

fn page(command: &clap::Command, names: &[String]) -> io::Result<Page> {
    let name = name(command);
    let page = clap_mangen::Man::new(command.clone());
    let mut text = Vec::new();
    // By hand: clap_mangen leaves out an empty date, and the next field would take its place.
    let version = env!("CARGO_PKG_VERSION");
    writeln!(text, ".TH {} 1 \"\" \"procscope {version}\" \"User Commands\"", name.to_uppercase())?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    page.render_options_section(&mut text)?;
    if command.has_subcommands() {
        page.render_subcommands_section(&mut text)?;
    }
    let mut roff = Roff::new();
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    for (title, body) in help::sections(&after) {
        roff.control("SH", [title.to_uppercase().as_str()]);
        // Examples keep their lines; other text is filled.
        let as_is = body.starts_with(' ');
        if as_is {
            roff.control("nf", []);
        }
        roff.text([roman(body)]);
        if as_is {
            roff.control("fi", []);
        }
    }
    roff.control("SH", ["SEE ALSO"]);
    let others = names.iter().filter(|other| **other != name).map(|other| format!("{other}(1)"));
    roff.text([roman(others.collect::<Vec<_>>().join(", "))]);
    roff.to_writer(&mut text)?;
    Ok(Page { file: format!("{name}.1"), text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_its_examples() {
        let pages = pages().unwrap();
        let files = pages.iter().map(|page| page.file.as_str()).collect::<Vec<_>>();
        assert_eq!(files[..2], ["procscope.1", "procscope-watch.1"]);
        assert_eq!(files.len(), 1 + args::command_with_personas().get_subcommands().count());
        assert!(files.contains(&"procscope-forkstat.1"));
        for page in &pages {
            let text = str::from_utf8(&page.text).unwrap();
            let title = page.file.trim_end_matches(".1").to_uppercase();
            assert!(text.contains(&format!(".TH {title} 1")), "{text}");
            assert!(text.contains(".SH EXAMPLES\n.nf\n"), "{text}");
        }
    }

    #[test]
    fn pages_fill_a_directory_that_need_not_be_there() {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("share/man/man1");
        run(&Man { dir: Some(to.clone()) }).unwrap();
        assert!(fs::metadata(to.join("procscope.1")).unwrap().len() > 1000);
        let failure = run(&Man { dir: Some(to.join("procscope.1")) }).unwrap_err();
        assert!(failure.what.contains("procscope.1"), "{failure}");
    }
}
