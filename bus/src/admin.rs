//! Questions to the broker that rdkafka does not ask: what topics there are, with their ids, where their partitions end,
//! and how late their messages are. Each is a single request, whatever the number of topics and partitions. And new
//! topics, for which rdkafka would start a thread, and panic where there is none.

use std::ffi::{CStr, CString, c_char};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::bindings as sys;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;

use crate::BusConfig;
use crate::bell::{Bell, RingingQueue};
use crate::client::Context;

/// What a broker says of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Described {
    pub name: String,
    /// Differs from that of every other topic, also of one that had the same name before. Empty where the broker gives
    /// topics no ids (Kafka does since 2.8).
    pub id: String,
    /// How many partitions it has; 0: there is no such topic.
    pub partitions: usize,
    /// Whether each of them has a leader, so that it can be read and written.
    pub usable: bool,
    /// Why nothing is known of it, though it may be there.
    pub refused: Option<RDKafkaErrorCode>,
}

/// Whom to ask what topics there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Oracle {
    /// The controller, as Kafka has one.
    Controller,
    /// The broker with the number 1: librdkafka's in-process cluster names a controller that is not there.
    First,
}

impl Oracle {
    pub fn of(config: &BusConfig) -> Self {
        if config.brokers.embedded { Self::First } else { Self::Controller }
    }

    /// The one to try where this one did not answer: an embedded broker need not be known as one.
    pub fn other(self) -> Self {
        match self {
            Self::Controller => Self::First,
            Self::First => Self::Controller,
        }
    }
}

/// Asks what is known of these topics. Nothing is created by asking.
pub(crate) fn describe(
    client: &BaseConsumer<Context>,
    oracle: Oracle,
    names: &[String],
    timeout: Duration,
    bell: &Arc<Bell>,
) -> Result<Vec<Described>, KafkaError> {
    let texts: Vec<CString> = names.iter().filter_map(|name| CString::new(name.as_str()).ok()).collect();
    let mut pointers: Vec<*const c_char> = texts.iter().map(|text| text.as_ptr()).collect();
    let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    // SAFETY: the pointers are to texts that live until the end of this function; the collection copies them and is given
    // back; what the event holds is read before the event is dropped.
    unsafe {
        let event = ask(client, operation, timeout, bell, |client, options, queue| {
            if oracle == Oracle::First {
                sys::rd_kafka_AdminOptions_set_broker(options, 1, std::ptr::null_mut(), 0);
            }
            let topics = sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
            sys::rd_kafka_DescribeTopics(client, topics, options, queue);
            sys::rd_kafka_TopicCollection_destroy(topics);
        })?;
        let result = sys::rd_kafka_event_DescribeTopics_result(event.0);
        if result.is_null() {
            return Err(KafkaError::AdminOp(RDKafkaErrorCode::BadMessage));
        }
        let mut count = 0;
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        Ok(slice(topics, count).iter().map(|topic| described(*topic)).collect())
    }
}

/// # Safety
/// `topic` must be of an event that lives.
unsafe fn described(topic: *const sys::rd_kafka_TopicDescription_t) -> Described {
    use RDKafkaErrorCode::{LeaderNotAvailable, UnknownTopic, UnknownTopicOrPartition};
    // SAFETY: the caller's promise; all that is given out here belongs to the topic.
    unsafe {
        let name = CStr::from_ptr(sys::rd_kafka_TopicDescription_name(topic)).to_string_lossy().into_owned();
        let mut described = Described { name, id: String::new(), partitions: 0, usable: false, refused: None };
        let error = sys::rd_kafka_TopicDescription_error(topic);
        if !error.is_null() {
            match RDKafkaErrorCode::from(sys::rd_kafka_error_code(error)) {
                RDKafkaErrorCode::NoError => {}
                UnknownTopic | UnknownTopicOrPartition | LeaderNotAvailable => return described,
                other => return Described { refused: Some(other), ..described },
            }
        }
        described.id = text_of(sys::rd_kafka_TopicDescription_topic_id(topic));
        let mut count = 0;
        let partitions = slice(sys::rd_kafka_TopicDescription_partitions(topic, &raw mut count), count);
        described.partitions = partitions.len();
        let has_leader = |partition: &*const _| !sys::rd_kafka_TopicPartitionInfo_leader(*partition).is_null();
        described.usable = !partitions.is_empty() && partitions.iter().all(has_leader);
        described
    }
}

/// An id as Kafka's own tools write it; empty for none.
///
/// # Safety
/// `id` must be null or of a topic that lives.
unsafe fn text_of(id: *const sys::rd_kafka_Uuid_t) -> String {
    // SAFETY: the caller's promise.
    unsafe {
        let is_none = id.is_null()
            || (sys::rd_kafka_Uuid_least_significant_bits(id), sys::rd_kafka_Uuid_most_significant_bits(id)) == (0, 0);
        let text = if is_none { std::ptr::null() } else { sys::rd_kafka_Uuid_base64str(id) };
        if text.is_null() {
            return String::new();
        }
        CStr::from_ptr(text).to_string_lossy().replace('+', "-").replace('/', "_")
    }
}

/// Asks for the offset that comes next in each of these partitions. What a broker does not tell is missing in the answer.
pub(crate) fn ends(
    client: &BaseConsumer<Context>,
    partitions: &[(String, i32)],
    timeout: Duration,
    bell: &Arc<Bell>,
) -> Result<Vec<(String, i32, i64)>, KafkaError> {
    let latest = sys::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_LATEST;
    let found = list_offsets(client, partitions, latest, timeout, bell)?;
    Ok(found.into_iter().map(|(name, partition, offset, _)| (name, partition, offset)).collect())
}

/// Asks for the latest time-stamp of all messages in these partitions, in milliseconds since 1970.
pub(crate) fn latest_time_stamp(
    client: &BaseConsumer<Context>,
    partitions: &[(String, i32)],
    timeout: Duration,
    bell: &Arc<Bell>,
) -> Result<Option<i64>, KafkaError> {
    let latest = sys::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_MAX_TIMESTAMP;
    let found = list_offsets(client, partitions, latest, timeout, bell)?;
    Ok(found.into_iter().map(|(.., time_stamp)| time_stamp).max().filter(|time_stamp| *time_stamp > 0))
}

/// Topic, partition, offset and time-stamp of what `spec` asks for.
fn list_offsets(
    client: &BaseConsumer<Context>,
    partitions: &[(String, i32)],
    spec: sys::rd_kafka_OffsetSpec_t,
    timeout: Duration,
    bell: &Arc<Bell>,
) -> Result<Vec<(String, i32, i64, i64)>, KafkaError> {
    if partitions.is_empty() {
        return Ok(Vec::new());
    }
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for (name, partition) in partitions {
        list.add_partition(name, *partition);
    }
    let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS;
    // SAFETY: the list lives until the end of this function, and librdkafka copies it; its elements are ours alone while
    // they are written; what the event holds is read before the event is dropped.
    unsafe {
        let elements = &*list.ptr();
        for element in slice_mut(elements.elems, elements.cnt as usize) {
            element.offset = spec as i64;
        }
        let event = ask(client, operation, timeout, bell, |client, options, queue| {
            sys::rd_kafka_ListOffsets(client, list.ptr(), options, queue);
        })?;
        let result = sys::rd_kafka_event_ListOffsets_result(event.0);
        if result.is_null() {
            return Err(KafkaError::AdminOp(RDKafkaErrorCode::BadMessage));
        }
        let mut count = 0;
        let infos = sys::rd_kafka_ListOffsets_result_infos(result, &raw mut count);
        let read = |info: &*const _| {
            let found = &*sys::rd_kafka_ListOffsetsResultInfo_topic_partition(*info);
            let name = CStr::from_ptr(found.topic).to_string_lossy().into_owned();
            let fine = found.err == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR && found.offset >= 0;
            let time_stamp = sys::rd_kafka_ListOffsetsResultInfo_timestamp(*info);
            fine.then_some((name, found.partition, found.offset, time_stamp))
        };
        Ok(slice(infos, count).iter().filter_map(read).collect())
    }
}

/// Asks for new topics with one partition each and these settings; what became of each. Replicas: as many as the broker
/// has set as its default.
pub(crate) fn create(
    client: &BaseConsumer<Context>,
    names: &[String],
    settings: &[(&str, &str)],
    timeout: Duration,
    bell: &Arc<Bell>,
) -> Result<Vec<(String, RDKafkaErrorCode)>, KafkaError> {
    let texts: Vec<CString> = names.iter().filter_map(|name| CString::new(name.as_str()).ok()).collect();
    let settings: Vec<(CString, CString)> = settings
        .iter()
        .filter_map(|(key, value)| Some((CString::new(*key).ok()?, CString::new(*value).ok()?)))
        .collect();
    let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_CREATETOPICS;
    // SAFETY: the texts live until the end of this function and are copied; the new topics are given back after their
    // only use; what the event holds is read before the event is dropped.
    unsafe {
        let new = |name: &CString| {
            let topic = sys::rd_kafka_NewTopic_new(name.as_ptr(), 1, -1, std::ptr::null_mut(), 0);
            for (key, value) in &settings {
                if !topic.is_null() {
                    sys::rd_kafka_NewTopic_set_config(topic, key.as_ptr(), value.as_ptr());
                }
            }
            topic
        };
        let mut topics: Vec<*mut sys::rd_kafka_NewTopic_t> = texts.iter().map(new).filter(|t| !t.is_null()).collect();
        let asked = ask(client, operation, timeout, bell, |client, options, queue| {
            let ms = timeout.as_millis().clamp(1, 3_600_000) as i32;
            sys::rd_kafka_AdminOptions_set_operation_timeout(options, ms, std::ptr::null_mut(), 0);
            sys::rd_kafka_CreateTopics(client, topics.as_mut_ptr(), topics.len(), options, queue);
        });
        topics.iter().for_each(|topic| sys::rd_kafka_NewTopic_destroy(*topic));
        let event = asked?;
        let result = sys::rd_kafka_event_CreateTopics_result(event.0);
        if result.is_null() {
            return Err(KafkaError::AdminOp(RDKafkaErrorCode::BadMessage));
        }
        let mut count = 0;
        let results = sys::rd_kafka_CreateTopics_result_topics(result, &raw mut count);
        let read = |result: &*const _| {
            let name = CStr::from_ptr(sys::rd_kafka_topic_result_name(*result)).to_string_lossy().into_owned();
            (name, RDKafkaErrorCode::from(sys::rd_kafka_topic_result_error(*result)))
        };
        Ok(slice(results, count).iter().map(read).collect())
    }
}

/// # Safety
/// `elements` must be null or point to `count` values that live as long as `'a`.
unsafe fn slice<'a, T>(elements: *const T, count: usize) -> &'a [T] {
    // SAFETY: the caller's promise.
    if elements.is_null() { &[] } else { unsafe { std::slice::from_raw_parts(elements, count) } }
}

/// # Safety
/// As [`slice()`], and nobody else may use the values meanwhile.
unsafe fn slice_mut<'a, T>(elements: *mut T, count: usize) -> &'a mut [T] {
    // SAFETY: the caller's promise.
    if elements.is_null() { &mut [] } else { unsafe { std::slice::from_raw_parts_mut(elements, count) } }
}

/// An answer. What it holds lives as long.
struct Event(*mut sys::rd_kafka_event_t);

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: it is ours.
        unsafe { sys::rd_kafka_event_destroy(self.0) };
    }
}

/// Sends a question and waits for its answer, on the monotonic clock.
///
/// # Safety
/// `send` must put the answer of exactly one operation of this kind on the queue that it is given.
unsafe fn ask(
    client: &BaseConsumer<Context>,
    operation: sys::rd_kafka_admin_op_t,
    timeout: Duration,
    bell: &Arc<Bell>,
    send: impl FnOnce(*mut sys::rd_kafka_t, *mut sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
) -> Result<Event, KafkaError> {
    let deadline = Instant::now() + timeout;
    let pointer = client.client().native_ptr();
    // SAFETY: the client is borrowed until the end of this function, so that the queue goes before it; the options are
    // given back after their only use.
    let queue = unsafe {
        let queue = RingingQueue::new(pointer, bell);
        let options = sys::rd_kafka_AdminOptions_new(pointer, operation);
        let ms = timeout.as_millis().clamp(1, 3_600_000) as i32;
        sys::rd_kafka_AdminOptions_set_request_timeout(options, ms, std::ptr::null_mut(), 0);
        send(pointer, options, queue.as_ptr());
        sys::rd_kafka_AdminOptions_destroy(options);
        queue
    };
    loop {
        // Drains librdkafka's log and errors.
        while client.poll(Duration::ZERO).is_some() {}
        // SAFETY: the queue lives.
        let event = unsafe { sys::rd_kafka_queue_poll(queue.as_ptr(), 0) };
        if !event.is_null() {
            let event = Event(event);
            // SAFETY: the event lives.
            return match RDKafkaErrorCode::from(unsafe { sys::rd_kafka_event_error(event.0) }) {
                RDKafkaErrorCode::NoError => Ok(event),
                code => Err(KafkaError::AdminOp(code)),
            };
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut));
        }
        bell.wait(left);
    }
}
