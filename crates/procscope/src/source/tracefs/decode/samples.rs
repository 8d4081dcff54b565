//! Layouts of Linux 6.18 on amd64.

use super::{Format, PageLayout, Role, Schema};

const PAGE: &str = "\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n\
    \tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;\n\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;\n\
    \tfield: char data;\toffset:16;\tsize:4080;\tsigned:0;\n";
const EVENT: &str = "# compressed entry header\n\ttype_len    :    5 bits\n\ttime_delta  :   27 bits\n\
    \tarray       :   32 bits\n\n\tpadding     : type == 29\n\ttime_extend : type == 30\n\ttime_stamp : type == 31\n\
    \tdata max type_len  == 28\n";

/// Declaration, offset, size, signed.
type Field = (&'static str, usize, usize, u8);

const EVENTS: [(Role, u16, &[Field]); 14] = [
    (Role::NewTask, 205, &[("pid_t pid", 8, 4, 1), ("char comm[16]", 12, 16, 0), ("u64 clone_flags", 32, 8, 0)]),
    (Role::Exec, 365, &[("__data_loc char[] filename", 8, 4, 0), ("pid_t pid", 12, 4, 1), ("pid_t old_pid", 16, 4, 1)]),
    (Role::Exit, 369, &[("char comm[16]", 8, 16, 0), ("pid_t pid", 24, 4, 1), ("bool group_dead", 32, 1, 0)]),
    (Role::Rename, 204, &[("pid_t pid", 8, 4, 1), ("char oldcomm[16]", 12, 16, 0), ("char newcomm[16]", 28, 16, 0)]),
    (
        Role::Generate,
        261,
        &[("int sig", 8, 4, 1), ("int code", 16, 4, 1), ("pid_t pid", 36, 4, 1), ("int result", 44, 4, 1)],
    ),
    (Role::Deliver, 260, &[("int sig", 8, 4, 1), ("unsigned long sa_handler", 24, 8, 0)]),
    (Role::EnterExec, 862, &[("int __syscall_nr", 8, 4, 1), ("__data_loc char[] __filename_val", 40, 4, 0)]),
    (Role::LeaveExec, 861, &[("long ret", 16, 8, 1)]),
    (Role::EnterExitGroup, 216, &[("int error_code", 16, 8, 0)]),
    (Role::Doom, 1900, &[("s64 code", 16, 8, 1)]),
    (
        Role::Image,
        1901,
        &[("u64 argc", 16, 8, 0), ("__data_loc char[] first", 24, 4, 0), ("u64 block0[64]", 28, 512, 0)],
    ),
    (
        Role::CallArguments,
        1902,
        &[
            ("u64 at", 16, 8, 0),
            ("u64 list[3]", 24, 24, 0),
            ("__data_loc char[] s0", 48, 4, 0),
            ("__data_loc char[] s1", 52, 4, 0),
            ("__data_loc char[] end0", 56, 4, 0),
        ],
    ),
    (Role::CallRest, 1904, &[("u64 at", 16, 8, 0), ("u64 list[2]", 24, 16, 0), ("__data_loc char[] s0", 40, 4, 0)]),
    (Role::CallPath, 1903, &[("u64 at", 8, 8, 0), ("__data_loc char[] path", 16, 4, 0)]),
];

fn text(id: u16, fields: &[Field]) -> String {
    let line = |(declaration, offset, size, signed): &Field| {
        format!("\tfield:{declaration};\toffset:{offset};\tsize:{size};\tsigned:{signed};\n")
    };
    let common = [("unsigned short common_type", 0, 2, 0), ("int common_pid", 4, 4, 1)];
    let fields: String = common.iter().chain(fields).map(line).collect();
    format!("name: any\nID: {id}\nformat:\n{fields}\nprint fmt: \"any\"\n")
}

pub(crate) fn layout() -> Option<PageLayout> {
    PageLayout::decode(PAGE, EVENT).ok()
}

pub(crate) fn schema() -> Option<Schema> {
    let mut schema = Schema::new(&Format::decode(&text(1, &[])).ok()?).ok()?;
    for (role, id, fields) in EVENTS {
        schema.add(role, &Format::decode(&text(id, fields)).ok()?).ok()?;
    }
    Some(schema)
}
