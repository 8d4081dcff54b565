//! The ids of a user namespace, and their numbers in the namespace above: `user_namespaces(7)`. No
//! OS.

/// Shown in place of an id that has none here: `/proc/sys/kernel/overflowuid`, whose default this
/// is.
const OVERFLOW: u32 = 65534;

/// Ids of one kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct IdMap {
    /// First id inside, first id outside, and how many.
    ranges: Vec<[u32; 3]>,
    overflow: u32,
}

impl IdMap {
    /// Reads `/proc/self/uid_map` or `gid_map`, and the file with the id shown for those that have
    /// none.
    pub(crate) fn decode(map: &str, overflow: &str) -> Self {
        let range = |line: &str| {
            let mut numbers = line.split_ascii_whitespace().map(|number| number.parse().ok());
            Some([numbers.next()??, numbers.next()??, numbers.next()??])
        };
        let overflow = overflow.trim().parse().unwrap_or(OVERFLOW);
        Self { ranges: map.lines().filter_map(range).collect(), overflow }
    }

    /// The number in the namespace above of an id that was read here. `None` if it has no number
    /// here, or may have none: the id shown in that case may be a user's own.
    pub(crate) fn outside(&self, id: u32) -> Option<u32> {
        if id == self.overflow {
            return None;
        }
        let in_range = |&[inside, outside, count]: &[u32; 3]| {
            let nth = id.checked_sub(inside).filter(|&nth| nth < count)?;
            outside.checked_add(nth).filter(|&id| id != u32::MAX)
        };
        self.ranges.iter().find_map(in_range)
    }
}

/// Those of users and of groups.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct IdMaps {
    pub(crate) users: IdMap,
    pub(crate) groups: IdMap,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_the_namespace_above() {
        let map = IdMap::decode("         0       1000          1\n         1     100000      65536\n", "65534\n");
        let ids = [(0, Some(1000)), (1, Some(100_000)), (65536, Some(165_535)), (65537, None), (65534, None)];
        for (inside, outside) in ids {
            assert_eq!(map.outside(inside), outside, "{inside}");
        }
    }

    #[test]
    fn nothing_is_made_up() {
        for map in ["", "junk\n0\n0 1\n-1 0 1\n", "0 0 0\n", "5 4294967295 1\n", "4 4294967295 4\n"] {
            assert_eq!(IdMap::decode(map, "65534").outside(5), None, "{map:?}");
        }
        assert_eq!(IdMap::decode("0 0 4294967295", "").outside(OVERFLOW), None);
    }

    proptest::proptest! {
        #[test]
        fn any_map_is_taken(map: String, overflow: String, ranges: Vec<[u32; 3]>, id: u32) {
            let _ = IdMap::decode(&map, &overflow).outside(id);
            let _ = IdMap { ranges, overflow: OVERFLOW }.outside(id);
        }
    }
}
