//! An open connection: a receive that is always under way, and the send.
//!
//! The receive is armed as soon as a response is complete, and not when the next request is sent: so the kernel tells, without
//! a further system call, when the server closes an idle connection or says something that nobody asked for.

use std::cell::UnsafeCell;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use monoio::buf::IoBuf;
use monoio::io::{AsyncReadRent, AsyncWriteRent, OwnedReadHalf};
use monoio::net::TcpStream;
use rustix::net::{RecvFlags, Shutdown, recv, shutdown};

use crate::dial::Dialled;
use crate::session::{RECORD_BYTES, Session};
use crate::signals::Signals;
use crate::target::Stay;

/// Others of the thread get their turn after so many pieces: a server that never stops sending keeps nobody else waiting.
const PIECES_AT_A_TIME: usize = 16;

type ReadHalf = OwnedReadHalf<TcpStream>;

/// What a receive gives back: how many bytes came (0: the other end has closed), and what was lent to it.
pub(crate) type Received = (io::Result<usize>, Vec<u8>, ReadHalf);

/// How a receive is begun. It is always [`receive`], whose future has a type without a name: this gives it one.
pub(crate) type Receive<F> = fn(ReadHalf, Vec<u8>) -> F;

/// Receives once.
pub(crate) async fn receive(mut half: ReadHalf, buffer: Vec<u8>) -> Received {
    let (result, buffer) = half.read(buffer).await;
    (result, buffer, half)
}

/// One connection that is open.
pub(crate) struct Line<F> {
    inbox: Inbox<F>,
    writer: Writer,
    signals: Signals,
    session: Option<Box<Session>>,
    pub stay: Stay,
    /// Whether it has carried a response.
    pub has_served: bool,
}

/// Whether more is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    More,
    Done,
}

/// What came of sending a piece.
pub(crate) enum Sending {
    /// So much of it was sent.
    Sent(io::Result<usize>),
    /// What came meanwhile was all that was awaited.
    CutShort,
}

/// What happened on a connection that idles.
pub(crate) enum Unasked {
    /// The other end has closed it, or it broke.
    Closed,
    /// So many bytes came that nobody had asked for.
    Bytes(usize),
}

impl<F: Future<Output = Received>> Line<F> {
    /// The first read buffer has so many bytes; with TLS, enough for a record.
    pub fn new(dialled: Dialled, buffer_bytes: usize, receive: Receive<F>) -> Self {
        let Dialled { tcp, session, stay } = dialled;
        let buffer_bytes = if session.is_some() { RECORD_BYTES } else { buffer_bytes };
        let stream = Rc::new(UnsafeCell::new(tcp));
        let half = OwnedReadHalf(stream.clone());
        let inbox =
            Inbox { receive, under_way: Box::pin(None), at_hand: Some((half, Vec::with_capacity(buffer_bytes))) };
        Self { inbox, writer: Writer(stream), signals: Signals::default(), session, stay, has_served: false }
    }

    pub fn descriptor(&self) -> RawFd {
        self.writer.descriptor()
    }

    /// Sends as much of a request from `from` on as goes out at a time. Whatever comes meanwhile is given to `take`.
    pub async fn send(
        &mut self,
        request: &Rc<Vec<u8>>,
        from: usize,
        take: impl FnMut(io::Result<&[u8]>, Option<&mut Session>) -> Flow,
    ) -> Sending {
        let Some(session) = &mut self.session else {
            return self.send_piece(request.clone().slice(from..), take).await;
        };
        let mut encrypted = Vec::new();
        let taken = match session.encrypt(&request[from..], &mut encrypted) {
            Ok(taken) => taken,
            Err(error) => return Sending::Sent(Err(error)),
        };
        let (mut take, encrypted) = (take, Rc::new(encrypted));
        let mut sent = 0;
        while sent < encrypted.len() {
            match self.send_piece(encrypted.clone().slice(sent..), &mut take).await {
                Sending::Sent(Ok(0)) => return Sending::Sent(Ok(0)),
                Sending::Sent(Ok(length)) => sent += length,
                other => return other,
            }
        }
        Sending::Sent(Ok(taken))
    }

    async fn send_piece(
        &mut self,
        piece: impl IoBuf,
        mut take: impl FnMut(io::Result<&[u8]>, Option<&mut Session>) -> Flow,
    ) -> Sending {
        let Self { inbox, writer, signals, session, .. } = self;
        let mut write = pin!(writer.write(piece));
        signals.begin_send();
        loop {
            let mut sent = None;
            let came = poll_fn(|cx| match write.as_mut().poll(&mut Context::from_waker(signals.sent(cx))) {
                Poll::Ready((result, _)) => {
                    sent = Some(result);
                    Poll::Ready(None)
                }
                Poll::Pending => inbox.poll(signals, cx).map(Some),
            });
            match came.await {
                None => return Sending::Sent(sent.unwrap_or(Ok(0))),
                Some(result) => {
                    if take(result.map(|()| inbox.bytes()), session.as_deref_mut()) == Flow::Done {
                        return Sending::CutShort;
                    }
                }
            }
        }
    }

    /// Gives what comes to `take` until that is all, with buffers of up to `largest` bytes.
    pub async fn receive(
        &mut self,
        largest: usize,
        mut take: impl FnMut(io::Result<&[u8]>, Option<&mut Session>) -> Flow,
    ) {
        let Self { inbox, signals, session, .. } = self;
        for piece in 1.. {
            let result = poll_fn(|cx| inbox.poll(signals, cx)).await;
            if take(result.map(|()| inbox.bytes()), session.as_deref_mut()) == Flow::Done {
                return;
            }
            // Large responses are read in few pieces.
            inbox.grow(largest);
            if piece % PIECES_AT_A_TIME == 0 {
                let mut yielded = false;
                poll_fn(|cx| {
                    cx.waker().wake_by_ref();
                    if std::mem::replace(&mut yielded, true) { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
            }
        }
    }

    /// Asks for what comes next, unless that is under way, and says whether what comes was unasked for.
    pub fn poll_unasked(&mut self, cx: &mut Context<'_>) -> Poll<Unasked> {
        for _ in 0..PIECES_AT_A_TIME {
            if let Some(unasked) = ready!(self.poll_next(cx)) {
                return Poll::Ready(unasked);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The same for the next that comes; `None`: it is of no consequence.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Unasked>> {
        let Self { inbox, signals, session, .. } = self;
        let came = match ready!(inbox.poll(signals, cx)) {
            Ok(()) if !inbox.bytes().is_empty() => inbox.bytes(),
            _ => return Poll::Ready(Some(Unasked::Closed)),
        };
        let Some(session) = session else { return Poll::Ready(Some(Unasked::Bytes(came.len()))) };
        let mut plain = 0;
        Poll::Ready(match session.receive(came, |piece| plain += piece.len()) {
            Ok(_) if plain > 0 => Some(Unasked::Bytes(plain)),
            // TLS 1.3 sends tickets whenever it likes.
            Ok(false) => None,
            Ok(true) | Err(_) => Some(Unasked::Closed),
        })
    }

    /// What came before the request left, once its first piece is sent.
    pub async fn came_before(&mut self) -> Option<Unasked> {
        if self.signals.received_first() { poll_fn(|cx| self.poll_next(cx)).await } else { None }
    }

    pub fn is_tls(&self) -> bool {
        self.session.is_some()
    }

    /// Whether something is in the socket that the receive has not told of yet, asked of the kernel.
    pub fn has_pending(&self) -> bool {
        let pending = recv(self.socket(), &mut [0_u8; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        !matches!(pending, Err(rustix::io::Errno::AGAIN))
    }

    /// Bytes that were sent and that the other end's kernel has not acknowledged (`SIOCOUTQ` of tcp(7), which is a terminal's
    /// `TIOCOUTQ` by another name).
    pub fn unacknowledged(&self) -> usize {
        let mut bytes: libc::c_int = 0;
        // SAFETY: the descriptor is open, and the request takes a pointer to an int, which lives until the call has returned.
        let told = unsafe { libc::ioctl(self.descriptor(), libc::TIOCOUTQ, &raw mut bytes) };
        if told == 0 { usize::try_from(bytes).unwrap_or(0) } else { 0 }
    }

    /// Closes it, and waits until the kernel has given back what was lent to it.
    pub async fn close(mut self) {
        if self.inbox.at_hand.is_none() {
            // An error says that the connection is gone already.
            let _ = shutdown(self.socket(), Shutdown::Both);
            let _ = poll_fn(|cx| self.inbox.poll(&mut self.signals, cx)).await;
        }
    }

    fn socket(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor belongs to the stream, which lives as long as the writer.
        unsafe { BorrowedFd::borrow_raw(self.descriptor()) }
    }
}

/// The receiving end, with one receive under way at a time.
struct Inbox<F> {
    receive: Receive<F>,
    /// In a place of its own that every receive uses again: none of them allocates.
    under_way: Pin<Box<Option<F>>>,
    /// What is lent to a receive, while none is under way.
    at_hand: Option<(ReadHalf, Vec<u8>)>,
}

impl<F: Future<Output = Received>> Inbox<F> {
    /// Begins to receive, unless that is under way, and says when something has come.
    fn poll(&mut self, signals: &mut Signals, cx: &Context<'_>) -> Poll<io::Result<()>> {
        if let Some((half, mut buffer)) = self.at_hand.take() {
            signals.begin_receive();
            buffer.clear();
            self.under_way.set(Some((self.receive)(half, buffer)));
        } else if !signals.received_since() {
            // It wakes when it is over: to ask it before costs time and tells nothing.
            return Poll::Pending;
        }
        let Some(receiving) = self.under_way.as_mut().as_pin_mut() else { return Poll::Pending };
        let mut cx = Context::from_waker(signals.received(cx));
        let (result, mut buffer, half) = ready!(receiving.poll(&mut cx));
        self.under_way.set(None);
        buffer.truncate(*result.as_ref().unwrap_or(&0));
        self.at_hand = Some((half, buffer));
        Poll::Ready(result.map(|_| ()))
    }

    /// What came last.
    fn bytes(&self) -> &[u8] {
        self.at_hand.as_ref().map_or(&[], |(_, buffer)| buffer)
    }

    /// Makes the buffer larger where it was filled.
    fn grow(&mut self, largest: usize) {
        if let Some((_, buffer)) = &mut self.at_hand
            && buffer.len() == buffer.capacity()
            && buffer.len() < largest
        {
            *buffer = Vec::with_capacity((4 * buffer.len()).min(largest));
        }
    }
}

/// The sending end.
struct Writer(Rc<UnsafeCell<TcpStream>>);

impl Writer {
    fn write<B: IoBuf>(&mut self, bytes: B) -> impl Future<Output = (io::Result<usize>, B)> {
        // SAFETY: the other hold on the stream is the receiving half, which only reads; monoio's streams take one read and
        // one write at once (`Split`), and each of the two is begun by a call that has returned before the other is made.
        let stream = unsafe { &mut *self.0.get() };
        stream.write(bytes)
    }

    fn descriptor(&self) -> RawFd {
        // SAFETY: as above; reading the number of the descriptor changes nothing.
        unsafe { &*self.0.get() }.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;
    use crate::plan::tests::plan;
    use crate::target::{Layout, Target};

    /// A line and the other end of its connection.
    async fn line() -> (Line<impl Future<Output = Received>>, std::net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on loopback");
        let address = listener.local_addr().expect("a bound listener has an address");
        let tcp = TcpStream::connect_addr(address).await.expect("somebody listens");
        let (other, _) = listener.accept().expect("it was connected");
        other.set_nodelay(true).expect("a socket has this option");
        let layout = Layout::new(&plan("http://web:80/"), |_, _| Ok::<_, crate::PlanError>(vec![address]));
        let layout = layout.expect("a good plan");
        let target = Target::new(&plan("http://web:80/"), layout, 0, 1, crate::Io::IoUring, [].into());
        let dialled = Dialled { tcp, session: None, stay: target.origins[0].enter(0) };
        (Line::new(dialled, 4096, receive), other)
    }

    fn on_a_ring(test: impl Future<Output = ()>) {
        match crate::io::ring(8, false) {
            Ok(mut ring) => ring.block_on(test),
            Err(error) => eprintln!("no io_uring here: {error}"),
        }
    }

    /// Asks for what comes and sends a request in one go, as a connection does whose next request is due already.
    async fn send_at_once(line: &mut Line<impl Future<Output = Received>>) -> Option<Unasked> {
        let pending = poll_fn(|cx| Poll::Ready(line.poll_unasked(cx).is_pending())).await;
        assert!(pending, "the ring was not asked yet");
        let request = Rc::new(b"GET / HTTP/1.1\r\n\r\n".to_vec());
        let sending = line.send(&request, 0, |_, _| Flow::More).await;
        assert!(matches!(sending, Sending::Sent(Ok(length)) if length == request.len()));
        line.came_before().await
    }

    #[test]
    fn what_came_before_the_send_is_known_after_it() {
        on_a_ring(async {
            for _ in 0..50 {
                let (mut line, mut other) = line().await;
                assert!(send_at_once(&mut line).await.is_none());
                // The response, however soon it comes.
                other.read_exact(&mut [0; 18]).expect("the request arrives");
                other.write_all(b"response").expect("the line is open");
                let mut came = Vec::new();
                line.receive(4096, |bytes, _| {
                    came.extend_from_slice(bytes.expect("it is open"));
                    if came.len() < 8 { Flow::More } else { Flow::Done }
                })
                .await;
                assert_eq!(came, b"response");
                // What lies there when the next request goes out.
                other.write_all(b"unasked").expect("the line is open");
                assert!(matches!(send_at_once(&mut line).await, Some(Unasked::Bytes(7))));
                other.read_exact(&mut [0; 18]).expect("the request arrives");
                drop(other);
                assert!(matches!(send_at_once(&mut line).await, Some(Unasked::Closed)));
            }
        });
    }
}
