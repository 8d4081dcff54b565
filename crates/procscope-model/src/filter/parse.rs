//! The grammar; `docs/filter.md` has it in EBNF.

use super::check::{self, MOST_REGEXES};
use super::error::{Fault, FilterError, shown};
use super::lex::{Lexer, Operator, Value, is_keyword};
use super::test::{Check, Test, Wanted};

/// The longest filter, bytes.
pub(super) const LONGEST: usize = 64 << 10;
/// Parentheses and `not` may be nested this deep.
pub(super) const DEEPEST: usize = 128;

/// A filter's tree. `And` and `Or` have at least two members, none of the same kind.
#[derive(Clone, Debug)]
pub(super) enum Node {
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    Test(Test),
}

pub(super) fn parse(text: &str) -> Result<Node, FilterError> {
    if text.len() > LONGEST {
        let fault =
            Fault::new(format!("a filter has at most {} KiB, and this one {}", LONGEST >> 10, text.len() >> 10));
        let kept = text.chars().next().map_or(0, char::len_utf8);
        return Err(FilterError::new(&text[..kept], 0..0, fault));
    }
    let mut parser = Parser { lexer: Lexer::new(text), regexes: 0 };
    if parser.lexer.at_end() {
        return Err(parser.lexer.error(0..0, Fault::new("the filter is empty").or("type one, such as exit != 0")));
    }
    let node = parser.any_of(0)?;
    if parser.lexer.at_end() { Ok(node) } else { Err(parser.stray()) }
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    regexes: usize,
}

impl<'a> Parser<'a> {
    fn any_of(&mut self, depth: usize) -> Result<Node, FilterError> {
        let mut nodes = vec![self.all_of(depth)?];
        while self.lexer.take("||") || self.lexer.take_keyword("or") {
            nodes.push(self.all_of(depth)?);
        }
        Ok(joined(nodes, true))
    }

    fn all_of(&mut self, depth: usize) -> Result<Node, FilterError> {
        let mut nodes = vec![self.one(depth)?];
        while self.lexer.take("&&") || self.lexer.take_keyword("and") {
            nodes.push(self.one(depth)?);
        }
        Ok(joined(nodes, false))
    }

    fn one(&mut self, depth: usize) -> Result<Node, FilterError> {
        let start = self.lexer.skip_blanks();
        if depth > DEEPEST {
            let fault = Fault::new(format!("parentheses and not are nested deeper than {DEEPEST}"));
            return Err(self.lexer.error(start..start, fault));
        }
        if let Some((span, operator)) = self.operator_ahead() {
            let fault = Fault::new(format!("a field is missing before {}", operator.name()));
            return Err(self.lexer.error(span, fault));
        }
        if self.lexer.take_keyword("not") || self.lexer.take("!") {
            return Ok(Node::Not(Box::new(self.one(depth + 1)?)));
        }
        if self.lexer.take("(") {
            let node = self.any_of(depth + 1)?;
            if self.lexer.take(")") {
                return Ok(node);
            }
            return Err(if self.lexer.at_end() {
                self.lexer.error(start..start + 1, Fault::new("this parenthesis is not closed"))
            } else {
                self.stray()
            });
        }
        self.test().map(Node::Test)
    }

    /// An operator in the place of a field; `not` may begin a term, so it is not one.
    fn operator_ahead(&mut self) -> Option<(std::ops::Range<usize>, Operator)> {
        let (_, word) = self.lexer.next_word();
        let sign = word.starts_with(['=', '~', '<', '>']) || word.starts_with("!=") || word.starts_with("!~");
        if sign { self.lexer.take_operator() } else { None }
    }

    fn test(&mut self) -> Result<Test, FilterError> {
        let Some((name_span, name)) = self.lexer.take_name() else {
            let (span, word) = self.lexer.next_word();
            let fault = match word {
                "" => Fault::new("a field is missing at the end"),
                word => Fault::new(format!("a field is missing before '{}'", shown(word))),
            };
            return Err(self.lexer.error(span, fault));
        };
        if is_keyword(name) {
            return Err(self.lexer.error(name_span, Fault::new(format!("a field is missing before '{name}'"))));
        }
        let index = self.lexer.take_index().transpose()?;
        let subject = check::subject(name, index.as_ref().map(|(_, index)| *index)).map_err(|fault| {
            let span = index.as_ref().filter(|_| name == "argv").map_or(name_span.clone(), |(span, _)| span.clone());
            self.lexer.error(span, fault)
        })?;
        if self.lexer.take_adjacent("?") {
            return Ok(check::presence(subject));
        }
        let Some((operator_span, operator)) = self.lexer.take_operator() else {
            let (span, word) = self.lexer.next_word();
            if word.starts_with('=') {
                let fault = Fault::new("there is no operator =").or("type == for equal, ~ for a pattern");
                return Err(self.lexer.error(span.start..span.start + 1, fault));
            }
            // It is a missing operator only if nothing follows that would have made it a
            // comparison.
            return check::truth(subject).map_err(|fault| self.lexer.error(name_span, fault));
        };
        let values = self.values(operator)?;
        let test = check::comparison(subject, operator, &values).map_err(|(at, fault)| {
            let value = at.and_then(|at| values.get(at));
            self.lexer.error(value.map_or(operator_span, |value| value.span.clone()), fault)
        })?;
        if matches!(test.check, Check::Text(Wanted::Regex(_))) {
            self.regexes += 1;
            if self.regexes > MOST_REGEXES {
                let span = values.first().map_or(name_span, |value| value.span.clone());
                let fault = Fault::new(format!("a filter has at most {MOST_REGEXES} regular expressions"));
                return Err(self.lexer.error(span, fault.or("join them: \"one|another\"")));
            }
        }
        Ok(test)
    }

    fn values(&mut self, operator: Operator) -> Result<Vec<Value<'a>>, FilterError> {
        if !matches!(operator, Operator::In | Operator::NotIn) {
            return Ok(vec![self.lexer.take_value()?]);
        }
        if !self.lexer.take("(") {
            let (span, _) = self.lexer.next_word();
            let fault = Fault::new("a list in parentheses is missing").or("type it as in (exec, exit)");
            return Err(self.lexer.error(span, fault));
        }
        let mut values = vec![self.lexer.take_value()?];
        while self.lexer.take(",") {
            values.push(self.lexer.take_value()?);
        }
        if self.lexer.take(")") {
            return Ok(values);
        }
        let (span, word) = self.lexer.next_word();
        let fault = match word {
            "" => Fault::new("the list is not closed").or("type a parenthesis: )"),
            word => Fault::new(format!("a comma or a parenthesis is missing before '{}'", shown(word))),
        };
        Err(self.lexer.error(span, fault))
    }

    /// Something that no rule accepts.
    fn stray(&mut self) -> FilterError {
        let (span, word) = self.lexer.next_word();
        let fault = match word {
            ")" => Fault::new("no parenthesis is open here"),
            "," => Fault::new("a comma stands in lists alone").or("type it as in (exec, exit)"),
            "&" => Fault::new("there is no operator &").or("type and, or &&"),
            "|" => Fault::new("there is no operator |").or("type or, or ||"),
            word => Fault::new(format!("'{}' is not expected here", shown(word)))
                .or("join terms by and, or; quote values that have blanks"),
        };
        self.lexer.error(span, fault)
    }
}

/// Members of the same kind join the list: `(a and b) and c` is `a and b and c`.
fn joined(mut nodes: Vec<Node>, any: bool) -> Node {
    if nodes.len() == 1
        && let Some(node) = nodes.pop()
    {
        return node;
    }
    let mut all = Vec::with_capacity(nodes.len());
    for node in nodes {
        match node {
            Node::Or(inner) if any => all.extend(inner),
            Node::And(inner) if !any => all.extend(inner),
            node => all.push(node),
        }
    }
    if any { Node::Or(all) } else { Node::And(all) }
}
