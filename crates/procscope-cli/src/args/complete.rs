//! The words that a shell offers for a value, from the table of fields.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Arg, Command, Error};
use procscope::Filter;

use crate::render::columns::Columns;

/// A list of columns.
#[derive(Clone)]
pub(super) struct ColumnList;

impl TypedValueParser for ColumnList {
    type Value = Columns;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<Columns, Error> {
        StringValueParser::new().try_map(|list| list.parse()).parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(Columns::all_names().map(PossibleValue::new)))
    }
}

/// A word of a filter: a field, or anything else.
#[derive(Clone)]
pub(super) struct FilterWord;

impl TypedValueParser for FilterWord {
    type Value = String;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<String, Error> {
        StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(Filter::fields().map(|field| PossibleValue::new(field.name))))
    }
}
