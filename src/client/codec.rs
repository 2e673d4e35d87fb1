//! Sends messages that are encoded already. So a batch is encoded once and
//! its events are freed, though it may be sent several times; and its size,
//! which the limits in flight need, is known for nothing.

use std::marker::PhantomData;

use bytes::{BufMut as _, Bytes};
use prost::Message;
use tonic::{
    Status,
    codec::{BufferSettings, Codec, EncodeBuf, Encoder},
};
use tonic_prost::ProstDecoder;

/// `TraceIngest.Stream`.
pub(crate) const STREAM_PATH: &str = "/runtraced.v1.TraceIngest/Stream";
/// `TraceIngest.Submit`.
pub(crate) const SUBMIT_PATH: &str = "/runtraced.v1.TraceIngest/Submit";

/// Encoded requests out, responses of type `R` in.
#[derive(Debug)]
pub(crate) struct EncodedCodec<R>(PhantomData<R>);

impl<R> EncodedCodec<R> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<R: Message + Default + Send + 'static> Codec for EncodedCodec<R> {
    type Encode = Bytes;
    type Decode = R;
    type Encoder = CopyEncoder;
    type Decoder = ProstDecoder<R>;

    fn encoder(&mut self) -> CopyEncoder {
        CopyEncoder
    }

    fn decoder(&mut self) -> ProstDecoder<R> {
        ProstDecoder::new(BufferSettings::default())
    }
}

/// Copies the encoded message into the frame.
#[derive(Debug)]
pub(crate) struct CopyEncoder;

impl Encoder for CopyEncoder {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, frame: &mut EncodeBuf<'_>) -> Result<(), Status> {
        frame.put(message);
        Ok(())
    }
}
