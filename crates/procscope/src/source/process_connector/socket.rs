//! A netlink socket that listens to the process connector: `netlink(7)`,
//! `Documentation/driver-api/connector.rst`.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::decode::{self, CN_PROC, Message, What, what};

/// `CN_IDX_PROC` as a multicast group.
const GROUP: u32 = 1;
/// `PROC_CN_MCAST_LISTEN`, `PROC_CN_MCAST_IGNORE`.
const LISTEN: u32 = 1;
const IGNORE: u32 = 2;
/// The place of `proc_event.what` in a message.
const AT_WHAT: u32 = (decode::NETLINK_HEADER + decode::CONNECTOR_HEADER) as u32;
/// The kernel answers at once; this long on a busy machine.
const ANSWER: Duration = Duration::from_millis(500);
/// The buffer has at least this size while we wait for that, bytes.
const LEAST_TO_ASK: usize = 1 << 20;
/// Index of the drops in the values of SO_MEMINFO: `SK_MEMINFO_DROPS`,
/// `include/uapi/linux/sock_diag.h`.
const DROPS: usize = 8;

/// A message has 76 bytes.
const ROOM: usize = 256;

/// The kinds of message that a socket is to receive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Kinds(pub(super) u32);

pub(super) struct Socket {
    fd: OwnedFd,
    /// The value of SO_RCVBUF, bytes.
    pub(super) buffer_bytes: usize,
}

/// Why a socket does not listen.
#[derive(Debug)]
pub(super) enum Refusal {
    /// A call failed.
    Call(&'static str, io::Error),
    /// The kernel answered with an error.
    Answer(io::Error),
    /// It did not answer.
    Silence,
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn set<T>(fd: BorrowedFd<'_>, level: i32, name: i32, value: &T) -> io::Result<()> {
    // SAFETY: the kernel reads `value` for its whole length and keeps no pointer to it.
    let result = unsafe {
        libc::setsockopt(fd.as_raw_fd(), level, name, std::ptr::from_ref(value).cast(), size_of::<T>() as u32)
    };
    check(result).map(|_| ())
}

/// `struct sockaddr_nl`.
fn address(groups: u32) -> libc::sockaddr_nl {
    // SAFETY: all zeroes is a valid sockaddr_nl.
    let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
    address.nl_family = libc::AF_NETLINK as u16;
    address.nl_groups = groups;
    address
}

impl Socket {
    /// Listens only to these kinds, by a socket filter, and with `event_filter` by the kernel's own
    /// (Linux 6.6) too. That one withholds the answers to other listeners, which are numbered like
    /// messages.
    pub(super) fn listen(kinds: Kinds, buffer_bytes: usize, event_filter: bool) -> Result<Self, Refusal> {
        let call = |what| move |error| Refusal::Call(what, error);
        let flags = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: no memory is passed.
        let fd = check(unsafe { libc::socket(libc::AF_NETLINK, flags, libc::NETLINK_CONNECTOR) });
        // SAFETY: the descriptor was just made, and nothing else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd.map_err(call("opening a netlink connector socket"))?) };
        let mut socket = Self { fd, buffer_bytes: 0 };
        // Others' messages leave no room in a smaller one for the answer.
        socket.size(buffer_bytes.max(LEAST_TO_ASK));
        // With it the socket accepts messages again as soon as there is room, not only when it is
        // empty.
        let _ = set(socket.fd.as_fd(), libc::SOL_NETLINK, libc::NETLINK_NO_ENOBUFS, &1i32);
        if kinds.0 != what::ALL {
            socket.filter(kinds).map_err(call("filtering the messages"))?;
        }
        let address = address(GROUP);
        // SAFETY: the kernel reads the address for the given length.
        let bound = check(unsafe {
            libc::bind(
                socket.fd.as_raw_fd(),
                std::ptr::from_ref(&address).cast(),
                size_of::<libc::sockaddr_nl>() as u32,
            )
        });
        bound.map_err(call("joining the process connector's group"))?;
        socket.ask()?;
        if buffer_bytes < LEAST_TO_ASK {
            socket.size(buffer_bytes);
        }
        if event_filter {
            socket.send(LISTEN, Some(kinds), 0).map_err(call("filtering the messages"))?;
        }
        Ok(socket)
    }

    /// The largest buffer available up to this size, bytes.
    fn size(&mut self, bytes: usize) {
        let fd = self.fd.as_fd();
        // The kernel doubles the requested size for its own book-keeping: `socket(7)`.
        let asked = i32::try_from(bytes / 2).unwrap_or(i32::MAX / 2);
        if set(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &asked).is_err() {
            let _ = set(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, &asked);
        }
        self.buffer_bytes = rustix::net::sockopt::socket_recv_buffer_size(fd).unwrap_or(0);
    }

    /// A classic BPF program that passes these kinds and the kernel's answers: `socket(7)`,
    /// SO_ATTACH_FILTER.
    fn filter(&self, kinds: Kinds) -> io::Result<()> {
        const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
        const JUMP_IF_SET: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
        const JUMP_IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
        const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
        let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
        // Loads read big-endian numbers, whatever the machine's order is.
        let mut steps = [
            step(LOAD, 0, 0, AT_WHAT),
            step(JUMP_IF_SET, 1, 0, kinds.0.to_be()),
            step(JUMP_IF_EQUAL, 0, 1, what::NONE),
            step(RETURN, 0, 0, u32::MAX),
            step(RETURN, 0, 0, 0),
        ];
        let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
        set(self.fd.as_fd(), libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
    }

    /// Sends a request, and waits for the answer.
    fn ask(&self) -> Result<(), Refusal> {
        // Answers go to all listeners: this identifies ours.
        let token = self.fd.as_raw_fd() as u32 ^ std::process::id().rotate_left(12);
        self.send(LISTEN, None, token).map_err(|error| Refusal::Call("asking the process connector", error))?;
        let until = Instant::now() + ANSWER;
        let mut batch = Batch::<16>::new();
        let mut answer = None;
        while answer.is_none() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Refusal::Silence);
            }
            let _ = self.wait(left);
            batch
                .receive(self, |message| {
                    if let Ok(Message { what: What::Ack { error, ack }, .. }) = message
                        && ack == token.wrapping_add(1)
                    {
                        answer = Some(error);
                    }
                })
                .map_err(|error| Refusal::Call("receiving from the process connector", error))?;
        }
        match answer {
            Some(0) | None => Ok(()),
            Some(error) => Err(Refusal::Answer(io::Error::from_raw_os_error(error as i32))),
        }
    }

    fn send(&self, op: u32, event_filter: Option<Kinds>, token: u32) -> io::Result<()> {
        // `struct proc_input` since Linux 6.6; only the operation before.
        let data: &[u32] = match event_filter {
            Some(kinds) => &[op, kinds.0],
            None => &[op],
        };
        let len = size_of_val(data);
        let whole = decode::NETLINK_HEADER + decode::CONNECTOR_HEADER + len;
        let mut bytes = Vec::with_capacity(whole);
        bytes.extend((whole as u32).to_ne_bytes());
        bytes.extend((libc::NLMSG_DONE as u16).to_ne_bytes());
        bytes.extend([0; 2]);
        bytes.extend([0u32, 0, CN_PROC[0], CN_PROC[1], token, token].iter().flat_map(|word| word.to_ne_bytes()));
        bytes.extend((len as u16).to_ne_bytes());
        bytes.extend([0; 2]);
        bytes.extend(data.iter().flat_map(|word| word.to_ne_bytes()));
        let address = address(0);
        // SAFETY: the kernel reads bytes and address for the given lengths.
        let sent = unsafe {
            libc::sendto(
                self.fd.as_raw_fd(),
                bytes.as_ptr().cast(),
                bytes.len(),
                0,
                std::ptr::from_ref(&address).cast(),
                size_of::<libc::sockaddr_nl>() as u32,
            )
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Waits until there is a message.
    pub(super) fn wait(&self, time: Duration) -> io::Result<()> {
        let timeout = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) };
        match poll(&mut [PollFd::new(&self.fd, PollFlags::IN)], Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// How many messages the kernel had no room for on this socket, modulo 2^32 (SO_MEMINFO, Linux
    /// 4.12); `None` before.
    pub(super) fn drops(&self) -> Option<u32> {
        let mut words = [0u32; 16];
        let mut len = size_of_val(&words) as libc::socklen_t;
        // SAFETY: the kernel writes no more than `len` bytes.
        let result = unsafe {
            libc::getsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_MEMINFO,
                words.as_mut_ptr().cast(),
                &raw mut len,
            )
        };
        (result == 0 && len as usize > DROPS * 4).then_some(words[DROPS])
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Before Linux 6.6 the kernel would continue to make messages that nothing reads.
        let _ = self.send(IGNORE, None, 0);
    }
}

/// Room for `N` messages, which recvmmsg(2) fills.
pub(super) struct Batch<const N: usize> {
    rooms: Box<[[u8; ROOM]; N]>,
}

impl<const N: usize> Batch<N> {
    pub(super) fn new() -> Self {
        Self { rooms: Box::new([[0; ROOM]; N]) }
    }

    /// Receives the waiting messages, up to `N`. Returns whether there may be more.
    pub(super) fn receive(
        &mut self,
        socket: &Socket,
        mut see: impl FnMut(Result<Message, decode::Malformed>),
    ) -> io::Result<bool> {
        let mut parts =
            self.rooms.each_mut().map(|room| libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: ROOM });
        let mut senders = [address(0); N];
        let mut headers = std::array::from_fn::<_, N, _>(|i| {
            // SAFETY: all zeroes is a valid mmsghdr.
            let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
            header.msg_hdr.msg_iov = &raw mut parts[i];
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_name = (&raw mut senders[i]).cast();
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_nl>() as u32;
            header
        });
        // SAFETY: every header points to a part and a sender of its own, which live until the call
        // has returned.
        let received = unsafe {
            libc::recvmmsg(
                socket.fd.as_raw_fd(),
                headers.as_mut_ptr(),
                N as u32,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let count = match check(received) {
            Ok(count) => count as usize,
            Err(error) => match error.raw_os_error() {
                // ENOBUFS reports a loss, which is counted elsewhere; the queue continues.
                Some(libc::ENOBUFS) => return Ok(true),
                Some(libc::EAGAIN | libc::EINTR) => return Ok(false),
                _ => return Err(error),
            },
        };
        for ((header, sender), room) in headers.iter().zip(&senders).zip(self.rooms.iter()).take(count) {
            // Only from the kernel.
            if sender.nl_pid != 0 {
                continue;
            }
            let mut datagram = room.get(..header.msg_len as usize).unwrap_or(room);
            while let Some(message) = decode::take_message(&mut datagram) {
                see(message);
            }
        }
        Ok(count == N)
    }
}
