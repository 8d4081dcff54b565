//! Tables as clap has them: for help, manual pages and completions.

use super::{Opt, SHARED, Table};

impl<K: Copy> Table<K> {
    /// The same in clap's form, for help, manual pages and completions.
    pub(crate) fn command(&self) -> clap::Command {
        let command = clap::Command::new(self.name)
            .about(self.about)
            .override_usage(self.usage)
            .after_help(self.notes)
            .max_term_width(80)
            .disable_help_flag(true);
        let options = self.original.iter().chain(self.added).filter(|option| !option.help.is_empty()).map(argument);
        let shared = SHARED.iter().filter(|option| !option.help.is_empty()).map(argument);
        let command = command.args(options.chain(shared));
        let letters = self.help.iter().filter_map(|word| word.strip_prefix('-')?.chars().next());
        letters.fold(command, |command, letter| command.mut_arg("help", |help| help.visible_short_alias(letter)))
    }
}

fn argument<K>(option: &Opt<K>) -> clap::Arg {
    let mut argument = clap::Arg::new(option.long.unwrap_or(letter(option.short))).help(option.help);
    if let Some(short) = option.short {
        argument = argument.short(char::from(short));
    }
    if let Some(long) = option.long {
        argument = argument.long(long);
    }
    match option.value {
        Some(value) => argument.value_name(value),
        None => argument.action(clap::ArgAction::SetTrue),
    }
}

/// The letter as a text that lasts.
fn letter(short: Option<u8>) -> &'static str {
    const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let at = short.and_then(|short| LETTERS.bytes().position(|letter| letter == short));
    at.and_then(|at| LETTERS.get(at..=at)).unwrap_or_default()
}
