use std::collections::BTreeSet;

use super::*;

#[test]
fn no_name_stands_for_two_fields() {
    // A filter's `lost` is the count; JSON's is the object.
    let names = FIELDS.iter().flat_map(|spec| std::iter::once(spec.name).chain(spec.aliases.iter().copied()));
    let names: Vec<&str> = names.filter(|name| *name != "lost").collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    let columns: Vec<&str> = FIELDS.iter().filter_map(|spec| spec.column).collect();
    assert_eq!(columns.iter().collect::<BTreeSet<_>>().len(), columns.len());
}

#[test]
fn each_field_says_what_it_is() {
    for spec in FIELDS {
        assert!(spec.doc.ends_with('.') && !spec.doc.contains('\n'), "{}", spec.name);
    }
}
