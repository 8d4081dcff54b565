/// A moment: nanoseconds since 1970-01-01T00:00:00Z, without leap seconds.
///
/// ```
/// use std::time::{Duration, SystemTime};
///
/// use procscope_model::Timestamp;
///
/// let time = SystemTime::from(Timestamp(1_500_000_000));
/// assert_eq!(time, SystemTime::UNIX_EPOCH + Duration::from_millis(1500));
/// assert_eq!(Timestamp::from(time), Timestamp(1_500_000_000));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The time on the system's clock.
    pub fn now() -> Self {
        std::time::SystemTime::now().into()
    }
}

impl From<Timestamp> for std::time::SystemTime {
    fn from(time: Timestamp) -> Self {
        let since = std::time::Duration::from_nanos(time.0.unsigned_abs());
        if time.0 < 0 { Self::UNIX_EPOCH - since } else { Self::UNIX_EPOCH + since }
    }
}

impl From<std::time::SystemTime> for Timestamp {
    /// Clamps to the years that fit.
    fn from(time: std::time::SystemTime) -> Self {
        match time.duration_since(std::time::SystemTime::UNIX_EPOCH) {
            Ok(since) => Self(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)),
            Err(before) => Self(i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |ns| -ns)),
        }
    }
}
