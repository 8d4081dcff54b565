use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::record::CgroupKey;

/// The container and unit in a cgroup's path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Cgroup {
    pub(crate) path: Arc<str>,
    pub(crate) container: Option<Arc<str>>,
    pub(crate) unit: Option<Arc<str>>,
    /// The path was too long or too deep for the kernel side.
    pub(crate) cut: bool,
}

impl Cgroup {
    pub(crate) fn new(path: &str, cut: bool) -> Self {
        let (container, unit) = cgroup_identity(path);
        Self { path: path.into(), container: container.map(Into::into), unit: unit.map(Into::into), cut }
    }
}

/// The container id and the systemd unit in a cgroup's path.
///
/// A container is the innermost component that is 64 hexadecimal digits, bare (`/docker/ID`, cgroup
/// v1) or as a scope (`docker-ID.scope`, `cri-containerd-ID.scope`, `crio-ID.scope`,
/// `libpod-ID.scope`). A unit is the innermost `.service`, or otherwise the innermost `.scope` that
/// is not a container's.
pub(crate) fn cgroup_identity(path: &str) -> (Option<&str>, Option<&str>) {
    let container = path.rsplit('/').find_map(container_id);
    let unit = |suffix: &'static str| {
        path.rsplit('/')
            .find(|name| name.len() > suffix.len() && name.ends_with(suffix) && container_id(name).is_none())
    };
    (container, unit(".service").or_else(|| unit(".scope")))
}

fn container_id(name: &str) -> Option<&str> {
    let name = name.strip_suffix(".scope").unwrap_or(name);
    // containerd without systemd: "kubepods-burstable-podUID.slice:cri-containerd:ID"
    let name = name.rsplit(':').next().unwrap_or(name);
    let id = name.get(name.len().checked_sub(64)?..)?;
    let prefix = &name[..name.len() - 64];
    let prefixed = prefix.is_empty() || prefix.ends_with('-');
    // conmon, the container's minder, is not in the container
    let minder = prefix == "libpod-conmon-" || prefix == "crio-conmon-";
    (prefixed && !minder && id.bytes().all(|b| b.is_ascii_hexdigit())).then_some(id)
}

const MOST: usize = 16384;

/// The cgroups whose paths the source has sent.
#[derive(Default)]
pub(crate) struct Cgroups {
    known: FxHashMap<CgroupKey, Arc<Cgroup>>,
}

impl Cgroups {
    pub(crate) fn insert(&mut self, key: CgroupKey, path: &str, cut: bool) {
        // The kernel side remembers fewer, and sends again what it forgot.
        if self.known.len() >= MOST {
            self.known.clear();
        }
        self.known.insert(key, Arc::new(Cgroup::new(path, cut)));
    }

    pub(crate) fn get(&self, key: CgroupKey) -> Option<&Arc<Cgroup>> {
        self.known.get(&key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn identities() {
        for (path, container, unit) in [
            ("/".to_owned(), None, None),
            (format!("/docker/{ID}"), Some(ID), None),
            (format!("/system.slice/docker-{ID}.scope"), Some(ID), None),
            (format!("/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope"), Some(ID), None),
            (format!("/kubepods.slice/kubepods-pod1.slice/crio-{ID}.scope/child"), Some(ID), None),
            (format!("/kubepods/besteffort/pod1/{ID}"), Some(ID), None),
            (format!("/system.slice/kubepods-pod1.slice:cri-containerd:{ID}"), Some(ID), None),
            (format!("/machine.slice/libpod-{ID}.scope/container"), Some(ID), None),
            (format!("/machine.slice/libpod-conmon-{ID}.scope"), None, Some(format!("libpod-conmon-{ID}.scope"))),
            (
                format!("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope"),
                Some(ID),
                Some("user@1000.service".to_owned()),
            ),
            ("/system.slice/ssh.service".to_owned(), None, Some("ssh.service".to_owned())),
            ("/user.slice/user-0.slice/session-1.scope".to_owned(), None, Some("session-1.scope".to_owned())),
            (".service".to_owned(), None, None),
            (format!("/x{ID}"), None, None),
            (format!("/docker/{}g", &ID[1..]), None, None),
        ] {
            assert_eq!(cgroup_identity(&path), (container, unit.as_deref()), "{path}");
        }
    }
}
