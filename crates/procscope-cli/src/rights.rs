//! Giving up unneeded rights.

use std::io;

use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

/// Gives up every capability of the calling thread except these, for good. Later threads inherit
/// these; programs get none. Call it while there is no other thread.
///
/// Returns what could not be done. Only a process with CAP_SETPCAP can empty the bounding set;
/// no_new_privs keeps anything from coming back out of it.
pub(crate) fn give_up_all_but(kept: &[&str]) -> Vec<String> {
    let mut notes = Vec::new();
    let mut tried = |what: &str, result: rustix::io::Result<()>| {
        if let Err(error) = result {
            let error = crate::failure::describe(&io::Error::from(error));
            notes.push(format!("it keeps more rights than it needs: {what}: {error}"));
        }
    };
    tried("setting no_new_privs", set_no_new_privs(true));
    match capabilities(None) {
        Ok(sets) => {
            if sets.effective.contains(CapabilitySet::SETPCAP) {
                tried("emptying the bounding set", empty_bounding_set());
            }
            let kept = sets.permitted & named(kept);
            tried("emptying the ambient set", clear_ambient_capability_set());
            let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
            tried("giving up capabilities", set_capabilities(None, sets));
        }
        Err(error) => tried("reading the capabilities", Err(error)),
    }
    notes
}

fn empty_bounding_set() -> rustix::io::Result<()> {
    // The kernel refuses to answer for a number beyond its last one.
    let all = (0..64).map(|number| CapabilitySet::from_bits_retain(1 << number));
    for one in all.take_while(|&one| capability_is_in_bounding_set(one).is_ok()) {
        remove_capability_from_bounding_set(one)?;
    }
    Ok(())
}

/// Names as in `capabilities(7)`.
fn named(names: &[&str]) -> CapabilitySet {
    names.iter().filter_map(|name| CapabilitySet::from_name(name.strip_prefix("CAP_")?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_capabilities_7() {
        assert_eq!(named(&["CAP_BPF", "CAP_SYS_PTRACE"]), CapabilitySet::BPF | CapabilitySet::SYS_PTRACE);
        assert_eq!(named(&["CAP_NONE", "BPF"]), CapabilitySet::empty());
    }

    /// On a thread of its own, which ends with its rights.
    #[test]
    fn nothing_comes_back() {
        let thread = std::thread::spawn(|| {
            let before = capabilities(None).unwrap();
            assert_eq!(give_up_all_but(&["CAP_SYS_PTRACE"]), [""; 0]);
            let after = capabilities(None).unwrap();
            let kept = before.permitted & CapabilitySet::SYS_PTRACE;
            assert_eq!((after.effective, after.permitted, after.inheritable), (kept, kept, CapabilitySet::empty()));
            assert!(rustix::thread::no_new_privs().unwrap());
            assert!(set_capabilities(None, before).is_err() || before.permitted == kept);
        });
        thread.join().unwrap();
    }
}
