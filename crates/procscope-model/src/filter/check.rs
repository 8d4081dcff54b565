//! A field, an operator and values become a test: types and units are checked here.

use regex::bytes::{Regex, RegexBuilder};

use super::error::{Fault, nearest, shown};
use super::field::{self, Type, fields};
use super::glob::Glob;
use super::lex::{Operator, Value, quote, quote_pattern, unescape, unquote_pattern};
use super::number::{SIZES, SPANS, time, whole, with_unit};
use super::test::{Check, Order, Subject, Test, Wanted};
use crate::{BootId, EventSet, Field, FieldSpec, Kind, ProcessId, StartTime, errno_name, signal_name, signal_number};

/// A compiled regular expression has at most this many bytes; so has the table that it fills while
/// matching.
const REGEX_BYTES: usize = 1 << 18;
/// A filter may have this many of them: this bounds them together, too.
pub(super) const MOST_REGEXES: usize = 64;
/// The highest index of an argument.
const MOST_INDEX: usize = 1 << 20;

/// The value with a fault; `None` is the operator.
pub(super) type At = Option<usize>;

/// Finds a field by its name.
pub(super) fn subject(name: &str, index: Option<&str>) -> Result<Subject, Fault> {
    if let Some(index) = index {
        if name != "argv" {
            return Err(Fault::new("only argv has numbered parts").or("type argv[1]"));
        }
        let number = index.trim().parse().ok().filter(|&n: &usize| n <= MOST_INDEX);
        let number = number.ok_or_else(|| Fault::new("an argument's number is missing here").or("type argv[1]"))?;
        return Ok(Subject::Arg(number));
    }
    if let Some(variable) = name.strip_prefix("env.") {
        if variable.is_empty() {
            return Err(Fault::new("the name of a variable is missing").or("type env.PATH"));
        }
        return Ok(Subject::Variable(variable.into()));
    }
    let plain = name.replace('-', "_");
    if let Some(field) = plain.strip_prefix("flaw.").or_else(|| plain.strip_prefix("flaws.")) {
        let known = Field::ALL.into_iter().find(|of| of.name() == field);
        return known.map(Subject::Flaw).ok_or_else(|| {
            let names = Field::ALL.map(Field::name);
            let near = nearest(field, names).map(|near| format!("flaw.{near}"));
            let fault = Fault::new(format!("flaws are told of no field '{}'", shown(field)));
            if near.is_some() { fault.or_nearest(near) } else { fault.or(format!("they are of {}", names.join(" "))) }
        });
    }
    let named = fields().find(|spec| spec.name == plain || spec.aliases.contains(&&*plain));
    named.map(Subject::Field).ok_or_else(|| {
        let names = fields().flat_map(|spec| std::iter::once(&spec.name).chain(spec.aliases)).copied();
        let near = member(&plain).map(str::to_owned).or_else(|| nearest(&plain, names));
        Fault::new(format!("there is no field '{}'", shown(name))).or_nearest(near)
    })
}

/// The likeliest field of a group.
fn member(group: &str) -> Option<&'static str> {
    let members = || {
        fields().map(|spec| spec.name).filter(|name| name.strip_prefix(group).is_some_and(|rest| rest.starts_with('.')))
    };
    members().find(|name| name.ends_with(".name")).or_else(|| members().next())
}

/// `field?`
pub(super) fn presence(subject: Subject) -> Test {
    Test::new(subject, Check::Present, false, "?".to_owned())
}

/// A field alone.
pub(super) fn truth(subject: Subject) -> Result<Test, Fault> {
    match subject.of() {
        Type::Truth => Ok(Test::new(subject, Check::Truth(true), false, String::new())),
        Type::Presence => Err(Fault::new("an operator is missing after this").or(format!("type {subject}?"))),
        of => {
            let example = match of {
                Type::Number => "== 1",
                Type::Span { .. } => "< 50ms",
                Type::Size { .. } => "> 10MiB",
                Type::Kind => "== exec",
                Type::Signal => "== SIGKILL",
                Type::Errno => "== ENOENT",
                Type::Time => "> 2026-01-31T12:00:00Z",
                _ => "== word",
            };
            Err(Fault::new("an operator is missing after this").or(format!("type {subject} {example}, or {subject}?")))
        }
    }
}

/// A comparison.
pub(super) fn comparison(subject: Subject, operator: Operator, values: &[Value<'_>]) -> Result<Test, (At, Fault)> {
    if operator.is_negative() && subject.is_any() {
        let positive = match operator {
            Operator::NotEqual => "==",
            Operator::NotLike => "~",
            Operator::NotMatches => "=~",
            _ => "in",
        };
        let fault = Fault::new(format!("{subject} has several values, so it is not clear which is meant to differ"));
        return Err((None, fault.or(format!("type: not {subject} {positive} …"))));
    }
    let (check, texts) = match operator {
        Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => {
            ordered(&subject, operator, values)
        }
        Operator::Like | Operator::NotLike | Operator::Matches | Operator::NotMatches => {
            pattern(&subject, operator, values)
        }
        Operator::Equal | Operator::NotEqual | Operator::In | Operator::NotIn => equal(&subject, operator, values),
    }?;
    let list = texts.join(", ");
    let text = match operator {
        Operator::In | Operator::NotIn => format!(" {} ({list})", operator.name()),
        _ => format!(" {} {list}", operator.name()),
    };
    Ok(Test::new(subject, check, operator.is_negative(), text))
}

/// The test for a comparison, and its values as they are to be shown.
type Compared = Result<(Check, Vec<String>), (At, Fault)>;

fn ordered(subject: &Subject, operator: Operator, values: &[Value<'_>]) -> Compared {
    let order = match operator {
        Operator::Less => Order::Less,
        Operator::LessOrEqual => Order::LessOrEqual,
        Operator::Greater => Order::Greater,
        _ => Order::GreaterOrEqual,
    };
    match subject.of() {
        Type::Number | Type::Span { .. } | Type::Size { .. } | Type::Time => {
            let [value] = values else { return Err((None, Fault::new("a value is missing"))) };
            let (number, text) = number(subject, value).map_err(|fault| (Some(0), fault))?;
            Ok((Check::Compare(order, number), vec![text]))
        }
        _ => {
            let fault = Fault::new(format!("{} compares numbers, and {subject} is none", operator.name()));
            Err((None, fault.or(format!("type {subject} == …"))))
        }
    }
}

fn pattern(subject: &Subject, operator: Operator, values: &[Value<'_>]) -> Compared {
    let at = |fault| (Some(0), fault);
    if !matches!(subject.of(), Type::Text | Type::Owner) {
        let fault = Fault::new(format!("{} compares texts, and {subject} is none", operator.name()));
        return Err((None, fault.or(format!("type {subject} == …"))));
    }
    let [value] = values else { return Err((None, Fault::new("a value is missing"))) };
    let pattern = unquote_pattern(value);
    let bare = !value.quoted;
    let text = if bare && super::lex::is_bare(&pattern) { pattern.clone() } else { quote_pattern(&pattern) };
    let wanted = match operator {
        Operator::Like | Operator::NotLike => {
            let glob = Glob::new(&pattern).map_err(at)?;
            match glob.literal() {
                Some(bytes) => Wanted::Equal(bytes.into()),
                None => Wanted::Glob(glob),
            }
        }
        _ => Wanted::Regex(Box::new(regex(&pattern).map_err(at)?)),
    };
    Ok((Check::Text(wanted), vec![text]))
}

/// Over bytes: `.` matches every byte, a line break too, so that no argument hides by containing
/// one.
fn regex(pattern: &str) -> Result<Regex, Fault> {
    let mut builder = RegexBuilder::new(pattern);
    builder.unicode(false).dot_matches_new_line(true);
    builder.size_limit(REGEX_BYTES).dfa_size_limit(REGEX_BYTES).nest_limit(64);
    builder.build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => {
            Fault::new("this regular expression is too large").or("make its repetitions smaller")
        }
        error => {
            let text = error.to_string();
            let reason = text.lines().last().unwrap_or_default();
            Fault::new(format!("no regular expression: {}", shown(reason.trim_start_matches("error: "))))
        }
    })
}

fn equal(subject: &Subject, operator: Operator, values: &[Value<'_>]) -> Compared {
    let mut texts = Vec::with_capacity(values.len());
    let several = matches!(operator, Operator::In | Operator::NotIn);
    let check = match subject.of() {
        Type::Text => {
            let bytes = each(values, |value| {
                let bytes = plain(value)?;
                texts.push(quoted(value, &bytes));
                Ok(bytes)
            })?;
            among(bytes)
        }
        Type::Word(words) => {
            let bytes = each(values, |value| {
                let word = word(value)?;
                let known = words.iter().find(|known| known.eq_ignore_ascii_case(&word));
                let known = known.ok_or_else(|| unknown(&format!("word for {subject}"), &word, words))?;
                texts.push((*known).to_owned());
                Ok(known.as_bytes().into())
            })?;
            among(bytes)
        }
        Type::Owner => {
            let (mut names, mut numbers) = (Vec::new(), Vec::new());
            each(values, |value| {
                let bytes = plain(value)?;
                match whole(&String::from_utf8_lossy(&bytes)).and_then(|number| u32::try_from(number).ok()) {
                    Some(number) if !value.quoted => numbers.push(number),
                    _ => names.push(bytes.clone()),
                }
                texts.push(quoted(value, &bytes));
                Ok(())
            })?;
            Check::Owner { names, numbers }
        }
        Type::Truth => {
            let [value] = values else { return Err((None, Fault::new("this is true or false").or("type =="))) };
            let word = word(value).map_err(|fault| (Some(0), fault))?;
            let truth = match word.as_str() {
                "true" | "yes" | "1" => true,
                "false" | "no" | "0" => false,
                _ => return Err((Some(0), unknown("truth", &word, &["true", "false"]))),
            };
            texts.push(truth.to_string());
            Check::Truth(truth)
        }
        Type::Kind => {
            let kinds = each(values, |value| {
                let word = word(value)?;
                let spelt = word.replace('_', "-");
                let known = Kind::ALL.iter().copied().find(|kind| kind.name() == spelt);
                let kind = known.or((spelt == "ptrce").then_some(Kind::Ptrace));
                let kind = kind.ok_or_else(|| {
                    unknown("event", &word, &Kind::ALL.iter().map(|kind| kind.name()).collect::<Vec<_>>())
                })?;
                texts.push(kind.name().to_owned());
                Ok(kind)
            })?;
            // NONE contains `lost`, which passes every filter.
            Check::Kinds(kinds.into_iter().fold(EventSet::NONE, EventSet::with))
        }
        Type::Id => Check::Ids(each(values, |value| {
            let word = word(value)?;
            let wanted = id(&word).ok_or_else(|| {
                Fault::new(format!("'{}' is no process", shown(&word)))
                    .or("type it as JSON has it: 1b4e28ba-4711-90215")
            })?;
            texts.push(quote(word.as_bytes()));
            Ok(wanted)
        })?),
        Type::Presence => {
            let fault = Fault::new(format!("{subject} is another process or a group of fields"));
            return Err((None, fault.or(format!("type {}", member(&subject.to_string()).unwrap_or("pid")))));
        }
        Type::Number | Type::Span { .. } | Type::Size { .. } | Type::Signal | Type::Errno | Type::Time => {
            let mut numbers = each(values, |value| {
                let (number, text) = number(subject, value)?;
                texts.push(text);
                Ok(number)
            })?;
            match numbers[..] {
                [number] if !several => Check::Compare(Order::Equal, number),
                _ => {
                    numbers.sort_unstable();
                    Check::Numbers(numbers)
                }
            }
        }
    };
    Ok((check, texts))
}

fn each<'a, T>(
    values: &'a [Value<'a>],
    mut of: impl FnMut(&Value<'a>) -> Result<T, Fault>,
) -> Result<Vec<T>, (At, Fault)> {
    values.iter().enumerate().map(|(at, value)| of(value).map_err(|fault| (Some(at), fault))).collect()
}

fn among(mut texts: Vec<Box<[u8]>>) -> Check {
    match &mut texts[..] {
        [one] => Check::Text(Wanted::Equal(std::mem::take(one))),
        _ => {
            texts.sort_unstable();
            Check::Text(Wanted::Among(texts))
        }
    }
}

/// The bytes that a value means.
fn plain(value: &Value<'_>) -> Result<Box<[u8]>, Fault> {
    if value.quoted {
        return unescape(value.text).map(Into::into);
    }
    if value.text.contains(['*', '?']) {
        let fault = Fault::new("a pattern, where a text is compared exactly");
        return Err(fault.or(format!("type ~ {0} for the pattern, == \"{0}\" for the text", shown(value.text))));
    }
    Ok(value.text.as_bytes().into())
}

/// In a form that can be read again: quotes stay where they have a meaning.
fn quoted(value: &Value<'_>, bytes: &[u8]) -> String {
    let text = quote(bytes);
    if value.quoted && whole(&text).is_some() { format!("\"{text}\"") } else { text }
}

fn word(value: &Value<'_>) -> Result<String, Fault> {
    if !value.quoted {
        return Ok(value.text.to_owned());
    }
    String::from_utf8(unescape(value.text)?).map_err(|_| Fault::new("this is no text"))
}

fn unknown(what: &str, word: &str, known: &[&str]) -> Fault {
    let fault = Fault::new(format!("there is no {what} '{}'", shown(word)));
    match nearest(word, known.iter().copied()) {
        Some(near) => fault.or_nearest(Some(near)),
        None if known.len() <= 16 => fault.or(format!("type one of {}", known.join(" "))),
        None => fault,
    }
}

fn number(subject: &Subject, value: &Value<'_>) -> Result<(i128, String), Fault> {
    let text = word(value)?;
    let amount = |units, unit: bool| Ok((with_unit(&text, units, !unit)?, text.replace(['µ', 'μ'], "u")));
    match subject.of() {
        Type::Span { unit } => amount(SPANS, unit),
        Type::Size { unit } => amount(SIZES, unit),
        Type::Signal => {
            let signo = whole(&text).and_then(|number| u8::try_from(number).ok());
            let upper = text.to_ascii_uppercase();
            let signo = signo.filter(|&signo| signo > 0).or_else(|| signal_number(&upper));
            let signo = signo.ok_or_else(|| {
                let names: Vec<_> = (1..=64).map(signal_name).collect();
                let with = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
                let near = nearest(&with, names.iter().map(|name| &**name));
                Fault::new(format!("there is no signal '{}'", shown(&text))).or_nearest(near)
            })?;
            Ok((signo.into(), signal_name(signo).into_owned()))
        }
        Type::Errno => {
            let named = |number: &u32| errno_name(*number) == Some(text.to_ascii_uppercase().as_str());
            let number = whole(&text).and_then(|number| u32::try_from(number).ok());
            let number = number.or_else(|| (1..4096).find(named)).ok_or_else(|| {
                let near = nearest(&text, (1..4096).filter_map(errno_name));
                Fault::new(format!("there is no error '{}'", shown(&text))).or_nearest(near)
            })?;
            Ok((number.into(), errno_name(number).map_or_else(|| number.to_string(), str::to_owned)))
        }
        Type::Time => {
            let time = time(&text).ok_or_else(|| {
                Fault::new(format!("'{}' is no time", shown(&text))).or("type it as 2026-01-31T12:00:00Z")
            })?;
            Ok((time, quote(text.as_bytes())))
        }
        _ => {
            let number = whole(&text).ok_or_else(|| {
                let fault = Fault::new(format!("{subject} is a number, and '{}' is none", shown(&text)));
                match subject {
                    Subject::Field(FieldSpec { name: "uid" | "euid", .. }) => fault.or("user compares names"),
                    Subject::Field(FieldSpec { name: "gid" | "egid", .. }) => fault.or("group compares names"),
                    Subject::Field(FieldSpec { name: "exit_code", .. }) => fault.or("signal and errno compare names"),
                    _ => fault,
                }
            })?;
            Ok((number, text))
        }
    }
}

/// `1b4e28ba-4711-90215`, without the boot if you like.
fn id(text: &str) -> Option<(Option<[u8; 4]>, ProcessId)> {
    let (boot, rest) = match text.split('-').count() {
        2 => (None, text),
        3 => text.split_once('-').map(|(boot, rest)| (Some(boot), rest))?,
        _ => return None,
    };
    let boot = match boot {
        Some(boot) if boot.len() == 8 => {
            let BootId([a, b, c, d, ..]) = format!("{boot}{}", "0".repeat(24)).parse().ok()?;
            Some([a, b, c, d])
        }
        Some(_) => return None,
        None => None,
    };
    let (pid, start) = rest.split_once('-')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let start = match start {
        "?" => None,
        start if digits(start) => Some(StartTime(start.parse().ok()?)),
        _ => return None,
    };
    let pid = digits(pid).then(|| pid.parse().ok())??;
    Some((boot, ProcessId { pid, start }))
}

/// The name and the type of a test's field.
impl Subject {
    pub(super) fn of(&self) -> Type {
        match self {
            Self::Field(spec) => Type::of(spec),
            Self::Arg(_) | Self::Variable(_) => Type::Text,
            Self::Flaw(_) => Type::Word(&field::FLAWS),
        }
    }

    pub(super) fn is_any(&self) -> bool {
        matches!(self, Self::Field(spec) if field::is_any(spec))
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Field(spec) => f.write_str(spec.name),
            Self::Arg(index) => write!(f, "argv[{index}]"),
            Self::Variable(name) => write!(f, "env.{name}"),
            Self::Flaw(field) => write!(f, "flaw.{}", field.name()),
        }
    }
}
