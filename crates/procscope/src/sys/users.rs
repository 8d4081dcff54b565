//! Names of users and groups, from the system's name service.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Looks up names of users and groups; `None` if the number has none.
pub(crate) trait Names: Send {
    /// A batch begins. True if earlier answers may no longer hold.
    fn renew(&mut self) -> bool;
    fn user(&mut self, uid: u32) -> Option<Arc<str>>;
    fn group(&mut self, gid: u32) -> Option<Arc<str>>;
}

/// The id of a user, if the system maps it back to this name: of two names with one id it uses only
/// one.
#[cfg(unix)]
pub(crate) fn uid_of(name: &str) -> Option<u32> {
    let uid = uzers::get_user_by_name(name)?.uid();
    uzers::get_user_by_uid(uid).filter(|user| user.name() == name).map(|_| uid)
}

#[cfg(not(unix))]
pub(crate) fn uid_of(_: &str) -> Option<u32> {
    None
}

/// Local names are those in these files at the beginning of a batch.
const FILES: [&str; 3] = ["/etc/passwd", "/etc/group", "/etc/nsswitch.conf"];
/// Names from elsewhere (LDAP, sssd, systemd) are at most this old.
const FRESH: Duration = Duration::from_secs(10);
/// A number without a name is looked up again after this time.
const RETRY: Duration = Duration::from_secs(1);
/// Look-ups in a slow directory are repeated after this many times their duration: they must not
/// keep the reader from the ring.
const PATIENCE: u32 = 100;
/// This many names are remembered.
const MOST: usize = 4096;

/// The values that change with a file's content: device, inode, size, times of change.
type Stamp = (u64, u64, u64, [i64; 4]);

#[cfg(unix)]
fn stamp(path: &str) -> Option<Stamp> {
    use std::os::unix::fs::MetadataExt as _;
    let file = std::fs::metadata(path).ok()?;
    let times = [file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()];
    Some((file.dev(), file.ino(), file.size(), times))
}

#[cfg(not(unix))]
fn stamp(_: &str) -> Option<Stamp> {
    None
}

/// One kind of name.
struct Cache {
    known: HashMap<u32, Option<Arc<str>>>,
    read: fn(u32) -> Option<Arc<str>>,
}

impl Cache {
    fn new(read: fn(u32) -> Option<Arc<str>>) -> Self {
        Self { known: HashMap::new(), read }
    }
}

/// Remembers names until they may have changed.
pub(crate) struct UserDatabase {
    users: Cache,
    groups: Cache,
    paths: [&'static str; 3],
    /// The state of the files before the oldest look-up.
    stamps: [Option<Stamp>; 3],
    /// Nothing remembered is older.
    since: Instant,
    /// When a number was first found to have no name.
    unknown_since: Option<Instant>,
    /// The duration of the look-ups since then.
    spent: Duration,
}

impl UserDatabase {
    pub(crate) fn new() -> Self {
        Self::over(FILES, Cache::new(read_user_name), Cache::new(read_group_name))
    }

    fn over(paths: [&'static str; 3], users: Cache, groups: Cache) -> Self {
        let stamps = paths.map(stamp);
        Self { users, groups, paths, stamps, since: Instant::now(), unknown_since: None, spent: Duration::ZERO }
    }

    fn renew_at(&mut self, now: Instant) -> bool {
        let stamps = self.paths.map(stamp);
        let patience = self.spent.saturating_mul(PATIENCE);
        let is_due = |since, time: Duration| now.saturating_duration_since(since) >= time.max(patience);
        if stamps != self.stamps || is_due(self.since, FRESH) {
            // Read before the look-ups: a change between both shows at the next batch.
            self.stamps = stamps;
            self.since = now;
            self.unknown_since = None;
            self.spent = Duration::ZERO;
            self.users.known.clear();
            self.groups.known.clear();
            return true;
        }
        if self.unknown_since.is_some_and(|since| is_due(since, RETRY)) {
            self.unknown_since = None;
            self.users.known.retain(|_, name| name.is_some());
            self.groups.known.retain(|_, name| name.is_some());
            return true;
        }
        false
    }

    fn name(&mut self, id: u32, of: fn(&mut Self) -> &mut Cache) -> Option<Arc<str>> {
        let cache = of(self);
        if let Some(name) = cache.known.get(&id) {
            return name.clone();
        }
        if cache.known.len() >= MOST {
            cache.known.clear();
        }
        let begun = Instant::now();
        let name = (cache.read)(id);
        cache.known.insert(id, name.clone());
        self.spent += begun.elapsed();
        if name.is_none() {
            self.unknown_since.get_or_insert(begun);
        }
        name
    }
}

impl Names for UserDatabase {
    fn renew(&mut self) -> bool {
        self.renew_at(Instant::now())
    }

    fn user(&mut self, uid: u32) -> Option<Arc<str>> {
        self.name(uid, |all| &mut all.users)
    }

    fn group(&mut self, gid: u32) -> Option<Arc<str>> {
        self.name(gid, |all| &mut all.groups)
    }
}

/// No names, only numbers.
pub(crate) struct Numeric;

impl Names for Numeric {
    fn renew(&mut self) -> bool {
        false
    }

    fn user(&mut self, _: u32) -> Option<Arc<str>> {
        None
    }

    fn group(&mut self, _: u32) -> Option<Arc<str>> {
        None
    }
}

#[cfg(unix)]
fn read_user_name(uid: u32) -> Option<Arc<str>> {
    uzers::get_user_by_uid(uid).map(|user| user.name().to_string_lossy().into())
}

#[cfg(unix)]
fn read_group_name(gid: u32) -> Option<Arc<str>> {
    uzers::get_group_by_gid(gid).map(|group| group.name().to_string_lossy().into())
}

#[cfg(not(unix))]
fn read_user_name(_: u32) -> Option<Arc<str>> {
    None
}

#[cfg(not(unix))]
fn read_group_name(_: u32) -> Option<Arc<str>> {
    None
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// A directory outside the files, in which no number below 10 has a name and each look-up gives
    /// another one.
    fn read(id: u32) -> Option<Arc<str>> {
        static ASKED: AtomicU32 = AtomicU32::new(0);
        (id >= 10).then(|| format!("name{}", ASKED.fetch_add(1, Ordering::Relaxed)).into())
    }

    fn database(paths: [&'static str; 3]) -> UserDatabase {
        UserDatabase::over(paths, Cache::new(read), Cache::new(read))
    }

    #[test]
    fn names_from_elsewhere_are_at_most_ten_seconds_old() {
        let mut names = database(["", "", ""]);
        let begun = names.since;
        let first = names.user(10);
        assert_eq!(names.user(10), first);
        assert!(!names.renew_at(begun + FRESH - RETRY));
        assert_eq!(names.user(10), first);
        assert!(names.renew_at(begun + FRESH));
        assert_ne!(names.user(10), first);
    }

    #[test]
    fn who_has_no_name_is_asked_for_again_after_a_second() {
        let mut names = database(["", "", ""]);
        let begun = names.since;
        let group = names.group(11);
        assert_eq!(names.group(1), None);
        assert!(!names.renew_at(begun + RETRY / 2));
        assert!(names.groups.known.contains_key(&1));
        assert!(names.renew_at(begun + 2 * RETRY));
        assert!(!names.groups.known.contains_key(&1));
        assert_eq!(names.group(11), group);
        assert!(!names.renew_at(begun + 3 * RETRY));
    }

    #[test]
    fn a_slow_directory_is_asked_less_often() {
        let mut names = database(["", "", ""]);
        let begun = names.since;
        names.user(1);
        names.spent = Duration::from_secs(1);
        assert!(!names.renew_at(begun + Duration::from_secs(99)));
        assert!(names.renew_at(begun + Duration::from_secs(101)));
        assert_eq!(names.spent, Duration::ZERO);
    }

    #[test]
    #[cfg(unix)]
    fn a_changed_file_counts_at_once() {
        let path = std::env::temp_dir().join(format!("procscope-users-{}", std::process::id()));
        let path: &'static str = path.to_str().unwrap().to_owned().leak();
        let mut names = database(["", path, ""]);
        let begun = names.since;
        let mut changes = |change: &dyn Fn()| {
            change();
            let changed = names.renew_at(begun);
            assert!(!names.renew_at(begun));
            changed
        };
        assert!(!changes(&|| ()));
        assert!(changes(&|| std::fs::write(path, "one").unwrap()));
        assert!(changes(&|| std::fs::write(path, "three").unwrap()));
        let other = format!("{path}.new");
        assert!(changes(&|| {
            std::fs::write(&other, "three").unwrap();
            std::fs::rename(&other, path).unwrap();
        }));
        assert!(changes(&|| std::fs::remove_file(path).unwrap()));
    }

    #[test]
    fn memory_is_bounded() {
        let mut names = database(["", "", ""]);
        (0..3 * MOST as u32).for_each(|uid| _ = names.user(uid));
        assert!(names.users.known.len() <= MOST);
    }
}
