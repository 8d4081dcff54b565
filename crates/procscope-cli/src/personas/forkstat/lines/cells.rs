//! The texts of which a line is made.

use std::io::Write as _;

use procscope::Process;

use super::super::Options;
use crate::personas::text;

/// As in `/proc/sys/kernel/pid_max`, at least 5.
pub(super) fn pid_digits() -> usize {
    let most = std::fs::read_to_string("/proc/sys/kernel/pid_max");
    most.map_or(6, |most| most.bytes().take_while(u8::is_ascii_digit).count().max(5))
}

/// `%7.7s %7.7s %6.6s `: user, effective user, terminal.
pub(super) fn push_extra(process: &Process, out: &mut Vec<u8>) {
    let who = process.credentials.as_deref();
    let user = owner(who.map(|who| (who.user.as_deref(), who.uid)));
    let euser = owner(who.map(|who| (who.euser.as_deref(), who.euid)));
    let _ = write!(out, "{user:>7.7} {euser:>7.7} ");
    match process.tty {
        Some(tty) => _ = write!(out, "{:<6.6} ", tty.to_string()),
        None => out.extend_from_slice(b"     ? "),
    }
}

pub(super) fn owner(known: Option<(Option<&str>, u32)>) -> String {
    match known {
        Some((Some(name), _)) => procscope_format::escape::visible(name).into_owned(),
        Some((None, number)) => number.to_string(),
        None => "?".to_owned(),
    }
}

pub(super) fn push_name(options: &Options, process: &Process, is_cut: bool, out: &mut Vec<u8>) {
    let argv = process.argv.as_deref().filter(|argv| !argv.is_empty() && !options.comm);
    let Some(argv) = argv else {
        let name = process.name.as_deref().unwrap_or(b"<unknown>");
        return push_flat(if options.short { first_word(name) } else { name }, out);
    };
    for (index, argument) in argv.iter().enumerate() {
        let mut argument: &[u8] = argument;
        if index > 0 {
            out.push(b' ');
        } else {
            if options.strip {
                argument = argument.rsplit(|&b| b == b'/').next().unwrap_or_default();
            }
            if options.short {
                argument = first_word(argument);
            }
        }
        push_flat(argument, out);
        if options.short {
            return;
        }
    }
    if is_cut {
        out.extend_from_slice(b" ...");
    }
}

pub(super) fn first_word(text: &[u8]) -> &[u8] {
    text.split(|b| b" \r\n".contains(b)).next().unwrap_or_default()
}

/// With blanks for line breaks, as in the original.
pub(super) fn push_flat(text: &[u8], out: &mut Vec<u8>) {
    for (index, piece) in text.split(|b| b"\r\n".contains(b)).enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        text::push(out, piece);
    }
}

/// Up to a minute seconds; then minutes and seconds as `1.300m`, hours and minutes as `1.300h`,
/// both with tenths; then days, weeks and years with thousandths.
pub(super) fn duration(ns: Option<u64>) -> String {
    const SCALES: [(char, u64, u64); 6] = [
        ('s', 1000, 1),
        ('m', 600, 60),
        ('h', 600, 3600),
        ('d', 1000, 24 * 3600),
        ('w', 1000, 7 * 24 * 3600),
        ('y', 1000, 365 * 24 * 3600),
    ];
    const S: u64 = 1_000_000_000;
    let Some(ns) = ns else { return "unknown".to_owned() };
    let fits = |next: &(char, u64, u64)| ns <= next.2.saturating_mul(S);
    let index = SCALES[1..].iter().position(fits).unwrap_or(SCALES.len() - 1);
    let (letter, base, seconds) = SCALES[index];
    let unit = u128::from(seconds) * u128::from(S);
    // Half a thousandth of the unit is added, because the original rounds.
    let scaled = u128::from(ns) + unit / 2000;
    let (whole, rest) = (scaled / unit, scaled % unit);
    format!("{whole:>3}.{:03}{letter}", rest * u128::from(base) / unit)
}
