//! What was sent and not yet acknowledged: numbers, resending, and the estimate of the round trip.
//!
//! Compatible with plugin and agent (same constants), and better in three points: a message that was sent twice gives
//! no sample (Karn), several of the oldest are resent at once, and a message that three later ones overtook is resent
//! without waiting for its time. Must not read a clock: `now` is the time since the session began.
//! Source: aws/session-manager-plugin `datachannel/streaming.go`, `config/config.go`.

use bytes::Bytes;
use std::collections::VecDeque;
use std::time::Duration;

/// Most messages under way. More than this much unacknowledged data has been seen to stall agents.
pub const WINDOW: usize = 256;
/// First estimate of the round trip.
const FIRST_RTT: Duration = Duration::from_millis(100);
/// First retransmission time-out.
const FIRST_RTO: Duration = Duration::from_millis(200);
/// Shortest and longest time-out. Plugin and agent look every 100 ms, so they never resend earlier.
const RTO: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// Least variation in the time-out.
const GRANULE: Duration = Duration::from_millis(10);
/// Messages that are resent at once when their time is over.
const BURST: usize = 8;
/// Later messages acknowledged after which one counts as lost.
const OVERTAKEN: u8 = 3;

/// A sent message.
struct Entry {
    frame: Bytes,
    /// When it was handed out last; `None` while it waits to be.
    sent: Option<Duration>,
    /// Times it was handed out.
    times: u32,
    acknowledged: bool,
    overtaken: u8,
}

/// The sending side of one direction.
pub struct Outgoing {
    /// Number of the first entry.
    first: i64,
    entries: VecDeque<Entry>,
    /// Numbers that wait to be handed out, oldest first.
    queue: VecDeque<i64>,
    rtt: Duration,
    variation: Duration,
    timeout: Duration,
    /// Since when the oldest entry has been the oldest.
    head_since: Duration,
}

impl Default for Outgoing {
    fn default() -> Self {
        Self {
            first: 0,
            entries: VecDeque::new(),
            queue: VecDeque::new(),
            rtt: FIRST_RTT,
            variation: Duration::ZERO,
            timeout: FIRST_RTO,
            head_since: Duration::ZERO,
        }
    }
}

impl Outgoing {
    /// The number of the next message.
    pub fn next(&self) -> i64 {
        self.first.saturating_add(i64::try_from(self.entries.len()).unwrap_or(i64::MAX))
    }

    /// Messages that may be added now.
    pub fn room(&self) -> usize {
        WINDOW.saturating_sub(self.entries.len())
    }

    /// Whether everything was acknowledged.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds the message with the number [`Self::next`].
    pub fn add(&mut self, now: Duration, frame: Bytes) {
        if self.entries.is_empty() {
            self.head_since = now;
        }
        self.queue.push_back(self.next());
        self.entries.push_back(Entry { frame, sent: None, times: 0, acknowledged: false, overtaken: 0 });
    }

    fn entry(&mut self, number: i64) -> Option<&mut Entry> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.entries.get_mut(at)
    }

    /// The next frame to send, if one waits.
    pub fn transmit(&mut self, now: Duration) -> Option<Bytes> {
        while let Some(number) = self.queue.pop_front() {
            if let Some(entry) = self.entry(number).filter(|entry| !entry.acknowledged) {
                entry.sent = Some(now);
                entry.times = entry.times.saturating_add(1);
                return Some(entry.frame.clone());
            }
        }
        None
    }

    /// Takes the acknowledgement of one message; says whether it was for one that waited for it.
    pub fn acknowledge(&mut self, now: Duration, number: i64) -> bool {
        let Some(entry) = self.entry(number).filter(|entry| !entry.acknowledged) else { return false };
        entry.acknowledged = true;
        entry.frame = Bytes::new();
        let (sent, times) = (entry.sent, entry.times);
        if let (Some(sent), 1) = (sent, times) {
            self.sample(now.saturating_sub(sent));
        }
        let at = usize::try_from(number - self.first).unwrap_or_default();
        let mut lost = Vec::new();
        for (number, earlier) in (self.first..).zip(self.entries.iter_mut().take(at)) {
            // One that was resent may have overtaken nothing: its own time decides.
            let before = earlier.times == 1 && earlier.sent <= sent && times == 1;
            if !earlier.acknowledged && before && earlier.sent.is_some() {
                earlier.overtaken = earlier.overtaken.saturating_add(1);
                if earlier.overtaken == OVERTAKEN {
                    earlier.sent = None;
                    lost.push(number);
                }
            }
        }
        // Before new data, oldest first.
        lost.into_iter().rev().for_each(|number| self.queue.push_front(number));
        while self.entries.front().is_some_and(|entry| entry.acknowledged) {
            self.entries.pop_front();
            self.first += 1;
            self.head_since = now;
        }
        true
    }

    fn sample(&mut self, sample: Duration) {
        self.variation = self.variation * 3 / 4 + self.rtt.abs_diff(sample) / 4;
        self.rtt = self.rtt * 7 / 8 + sample / 8;
        self.timeout = (self.rtt + GRANULE.max(self.variation * 4)).clamp(RTO.0, RTO.1);
    }

    /// Time after which an entry is sent again: longer each time.
    fn patience(&self, times: u32) -> Duration {
        (self.timeout * (1 << times.saturating_sub(1).min(3))).min(RTO.1)
    }

    /// Queues the oldest messages whose time is over.
    pub fn expire(&mut self, now: Duration) {
        let mut due = Vec::new();
        for (number, entry) in (self.first..).zip(&self.entries).filter(|(_, e)| !e.acknowledged).take(BURST) {
            if entry.sent.is_some_and(|sent| now >= sent + self.patience(entry.times)) {
                due.push(number);
            }
        }
        for number in due.into_iter().rev() {
            if let Some(entry) = self.entry(number) {
                entry.sent = None;
            }
            self.queue.push_front(number);
        }
    }

    /// When [`Self::expire`] has something to do.
    pub fn deadline(&self) -> Option<Duration> {
        let waiting = self.entries.iter().filter(|entry| !entry.acknowledged).take(BURST);
        waiting.filter_map(|entry| Some(entry.sent? + self.patience(entry.times))).min()
    }

    /// Since when the oldest message has waited; `None` when nothing does.
    pub fn waiting_since(&self) -> Option<Duration> {
        (!self.entries.is_empty()).then_some(self.head_since)
    }

    /// Starts the wait of the oldest message anew: it could not be answered until now.
    pub fn excuse(&mut self, now: Duration) {
        self.head_since = now;
    }

    /// Queues everything unacknowledged again: a new connection knows nothing of what the old one lost.
    pub fn restart(&mut self, now: Duration) {
        self.excuse(now);
        self.queue.clear();
        for (number, entry) in (self.first..).zip(&mut self.entries).filter(|(_, entry)| !entry.acknowledged) {
            entry.sent = None;
            entry.overtaken = 0;
            self.queue.push_back(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn frame(n: u8) -> Bytes {
        vec![n].into()
    }

    fn with(count: u8) -> Outgoing {
        let mut out = Outgoing::default();
        for n in 0..count {
            out.add(ms(0), frame(n));
            assert_eq!(out.transmit(ms(0)), Some(frame(n)));
        }
        out
    }

    #[test]
    fn an_unacknowledged_message_is_resent_later_and_later() {
        let mut out = with(1);
        let mut sent = Vec::new();
        for now in 0..5000 {
            out.expire(ms(now));
            if out.transmit(ms(now)).is_some() {
                sent.push(now);
            }
        }
        assert_eq!(sent, [200, 600, 1400, 2400, 3400, 4400]);
        assert!(out.acknowledge(ms(5000), 0) && out.is_empty() && out.deadline().is_none());
        assert!(!out.acknowledge(ms(5000), 0));
    }

    #[test]
    fn the_time_out_follows_the_samples() {
        let mut out = with(2);
        out.acknowledge(ms(500), 0);
        // rtt 100 → 150, variation (400)/4 = 100.
        assert_eq!((out.rtt, out.variation, out.timeout), (ms(150), ms(100), ms(550)));
        out.expire(ms(550));
        assert_eq!(out.transmit(ms(550)), Some(frame(1)));
        out.acknowledge(ms(560), 1);
        assert_eq!(out.rtt, ms(150), "a message sent twice gives no sample");
    }

    #[test]
    fn one_that_three_others_overtook_is_resent_at_once() {
        let mut out = with(5);
        for number in [1, 2] {
            out.acknowledge(ms(10), number);
            assert_eq!(out.transmit(ms(10)), None);
        }
        out.acknowledge(ms(11), 3);
        assert_eq!((out.transmit(ms(11)), out.transmit(ms(11))), (Some(frame(0)), None));
        out.acknowledge(ms(12), 4);
        assert_eq!(out.transmit(ms(12)), None);
        out.acknowledge(ms(13), 0);
        assert!(out.is_empty());
        assert_eq!(out.next(), 5);
    }

    #[test]
    fn a_new_connection_resends_what_is_open_in_order() {
        let mut out = with(4);
        out.acknowledge(ms(1), 1);
        out.restart(ms(9000));
        let again: Vec<_> = std::iter::from_fn(|| out.transmit(ms(9000))).collect();
        assert_eq!(again, [frame(0), frame(2), frame(3)]);
        assert_eq!(out.waiting_since(), Some(ms(9000)));
    }

    #[test]
    fn numbers_that_were_never_sent_are_ignored() {
        let mut out = with(2);
        assert!(!out.acknowledge(ms(1), 2) && !out.acknowledge(ms(1), -1) && !out.acknowledge(ms(1), i64::MIN));
        assert!(!out.acknowledge(ms(1), i64::MAX));
        assert_eq!(out.room(), WINDOW - 2);
    }
}
