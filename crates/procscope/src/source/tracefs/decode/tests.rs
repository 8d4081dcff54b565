use proptest::prelude::*;

use super::strings::{LONGEST_STRING, StringsEnd, USER_STRING};
use super::*;
use crate::Flaw;
use crate::source::happening::CallPath;

#[test]
fn the_arguments_of_an_image() {
    let schema = samples::schema().unwrap();
    let image = |argc: u64, first: &[u8], block: &[u8]| {
        let mut record = vec![0; 540];
        record[..2].copy_from_slice(&1901u16.to_ne_bytes());
        record[16..24].copy_from_slice(&argc.to_ne_bytes());
        record[24..28].copy_from_slice(&((first.len() as u32) << 16 | 540).to_ne_bytes());
        record[28..28 + block.len()].copy_from_slice(block);
        record.extend_from_slice(first);
        match schema.decode(1, &record).unwrap().unwrap().what {
            RawWhat::Image(image) => image.map(|image| (image.list, image.cut)),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(image(3, b"sh\0", b"sh\0\0-c\0A=B\0"), Some((b"sh\0\0-c\0".to_vec(), false)));
    let long = [b"x\0".as_slice(), &[b'y'; 510]].concat();
    assert_eq!(image(2, b"x\0", &long), Some(([long.as_slice(), b"\0"].concat(), true)));
    // It was unreadable: the earlier content belongs to nothing.
    assert_eq!(image(1, b"", b"old\0"), None);
    assert_eq!(image(1, b"(fault)\0", b"old\0"), None);
    assert_eq!(image(1, b"new\0", b"old\0"), None);
}

/// A record of this number with these bytes from its eighth on, followed by strings, whose places
/// are at these offsets.
fn record_of(kernel: Kernel, kind: u16, fixed: &[u8], strings: &[(usize, &[u8])]) -> RawWhat {
    let mut record = vec![0; 8];
    record[..2].copy_from_slice(&kind.to_ne_bytes());
    record.extend_from_slice(fixed);
    record.resize(300, 0);
    for (at, string) in strings {
        let place = (string.len() as u32) << 16 | record.len() as u32;
        record[*at..at + 4].copy_from_slice(&place.to_ne_bytes());
        record.extend_from_slice(string);
    }
    let mut schema = samples::schema().unwrap();
    assert!(schema.shows_paths());
    schema.set_kernel(kernel);
    schema.decode(1, &record).unwrap().unwrap().what
}

fn record(kind: u16, fixed: &[u8], strings: &[(usize, &[u8])]) -> RawWhat {
    record_of(Kernel::default(), kind, fixed, strings)
}

#[test]
fn the_arguments_of_a_call() {
    let call = |tells_faults, at: u64, pointers: &[u64], strings: &[(usize, &[u8])]| {
        let fixed: Vec<u8> = [0, at].iter().chain(pointers).flat_map(|number| number.to_ne_bytes()).collect();
        match record_of(Kernel { tells_faults, ..Kernel::default() }, 1902, &fixed, strings) {
            RawWhat::CallArguments(told) => told.map(|told| (told.list, told.end)),
            other => panic!("{other:?}"),
        }
    };
    let strings = |list: &[u8], end| Some((list.to_vec(), end));
    let old = |pointers: &[u64], strings: &[(usize, &[u8])]| call(false, 0x5000, pointers, strings);
    let both: [(usize, &[u8]); 2] = [(48, b"sh\0"), (52, b"-c\0")];
    assert_eq!(old(&[7, 0, 0], &both), strings(b"sh\0", StringsEnd::Null));
    assert_eq!(old(&[7, 8, 0], &both), strings(b"sh\0-c\0", StringsEnd::Null));
    assert_eq!(old(&[7, 8, 9], &both), strings(b"sh\0-c\0", StringsEnd::More));
    // A string that could not be read.
    assert_eq!(old(&[7, 8, 0], &both[..1]), strings(b"sh\0", StringsEnd::Unreadable));
    assert_eq!(old(&[7, 8, 0], &[both[0], (52, b"(fault)\0")]), strings(b"sh\0", StringsEnd::Unreadable));
    let long = [b'x'; LONGEST_STRING];
    assert_eq!(old(&[7, 0, 0], &[(48, &long)]).map(|(_, end)| end), Some(StringsEnd::Cut));
    // A null that was perhaps not read: it may be of another record.
    assert_eq!(old(&[0, 0, 0], &[]), strings(b"", StringsEnd::Unreadable));
    let next_page = |first: u64, pointers: &[u64]| call(true, 0x5000 - first * 8, pointers, &both);
    assert_eq!(next_page(1, &[7, 0, 0]), strings(b"sh\0", StringsEnd::Unreadable));
    assert_eq!(next_page(1, &[7, 8, 0]), strings(b"sh\0-c\0", StringsEnd::Null));
    assert_eq!(next_page(2, &[7, 8, 0]), strings(b"sh\0-c\0", StringsEnd::Unreadable));
    // An empty one, because an unreadable one would be marked, and nothing was left out for lack of
    // room.
    let room: (usize, &[u8]) = (56, b"\x07\0");
    assert_eq!(call(true, 0x5000, &[7, 8, 0], &[both[0], room]), strings(b"sh\0\0", StringsEnd::Null));
    assert_eq!(call(true, 0x5000, &[7, 8, 0], &[both[0]]), strings(b"sh\0", StringsEnd::Unreadable));
    assert_eq!(call(false, 0x5000, &[7, 8, 0], &[both[0], room]), strings(b"sh\0", StringsEnd::Unreadable));
    assert_eq!(old(&[7, 8, 0], &[both[0], (52, b"\0")]), strings(b"sh\0\0", StringsEnd::Null));
}

#[test]
fn the_path_of_a_call() {
    let probed = |at: u64, path: &[u8]| match record(1903, &at.to_ne_bytes(), &[(16, path)]) {
        RawWhat::CallPath(path) => path.map(|path| (path.bytes, path.flaw)),
        other => panic!("{other:?}"),
    };
    assert_eq!(probed(0x7fff_1000, b"./x\0"), Some((b"./x".to_vec(), None)));
    assert_eq!(probed(0x7fff_1000, b"\0"), Some((Vec::new(), None)));
    assert_eq!(probed(0x7fff_1000, b""), None);
    let told = Kernel { tells_faults: true, ..Kernel::default() };
    let empty = RawWhat::CallPath(Some(CallPath { bytes: Vec::new(), flaw: None }));
    assert_eq!(record_of(told, 1903, &0x7fff_1000u64.to_ne_bytes(), &[(16, b"")]), empty);
    assert_eq!(probed(0x7fff_1000, b"(fault)\0"), None);
    // One byte of the address was taken for it: the bytes there are not the path.
    for at in [0, 0x7f, 0xff, -1i64 as u64, -128i64 as u64] {
        assert_eq!(probed(at, b"other\0"), None);
    }
    let shown = |path: &[u8]| match record(862, &[], &[(40, path)]) {
        RawWhat::EnterExec { dirfd: None, path } => path.map(|path| (path.bytes, path.flaw)),
        other => panic!("{other:?}"),
    };
    assert_eq!(shown(b"/bin/sh\0"), Some((b"/bin/sh".to_vec(), None)));
    assert_eq!(shown(b"\0"), Some((Vec::new(), None)));
    assert_eq!(shown(b""), None);
    // It may have been another byte, which is not printed.
    assert_eq!(shown(b"./x\0"), Some((b"./x".to_vec(), Some(Flaw::Estimated))));
    assert_eq!(shown(b"/x...\0"), Some((b"/x...".to_vec(), Some(Flaw::Estimated))));
    let long = [b'y'; USER_STRING];
    assert_eq!(shown(&[&long[..], b"\0"].concat()), Some((long.to_vec(), None)));
    assert_eq!(shown(&[&long[..], b"...\0"].concat()), Some((long.to_vec(), Some(Flaw::Truncated))));
}

proptest! {
    #[test]
    fn any_text_is_taken(text in "(field:.{0,40}; ?offset:[0-9]{1,9};size:[0-9]{1,9};signed:.\n|ID: [0-9]{1,6}\n|.{0,30}\n){0,8}") {
        let _ = PageLayout::decode(&text, &text);
        if let Ok(format) = Format::decode(&text) {
            let _ = Schema::new(&format);
        }
    }

    #[test]
    fn any_page_is_taken(bytes in proptest::collection::vec(any::<u8>(), 0..200), len in 0u64..300) {
        let schema = samples::schema().unwrap();
        let mut page = [&7u64.to_ne_bytes()[..], &len.to_ne_bytes(), &bytes].concat();
        for size in [page.len(), 4096] {
            page.resize(size, 0);
            let _ = samples::layout().unwrap().records(&page, |ns, record| {
                let _ = schema.decode(ns, record);
            });
        }
    }

    #[test]
    fn any_record_is_taken(kind in prop::sample::select(vec![205u16, 365, 369, 204, 261, 260, 862, 861, 216, 1900, 1901, 1902, 1903, 1904]), bytes: Vec<u8>) {
        let record = [&kind.to_ne_bytes()[..], &bytes].concat();
        let _ = samples::schema().unwrap().decode(1, &record);
    }
}
