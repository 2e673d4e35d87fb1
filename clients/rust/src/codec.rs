//! A codec for messages that are already encoded.
//!
//! A batch is encoded once, however often it is sent, and its events are freed at once.
//! The limits on what is in flight get its size without extra work.

use std::marker::PhantomData;

use bytes::{BufMut as _, Bytes};
use prost::Message;
use tonic::{
    Status,
    codec::{BufferSettings, Codec, EncodeBuf, Encoder},
};
use tonic_prost::ProstDecoder;

/// The path of `TraceIngest.Stream`.
pub(crate) const STREAM_PATH: &str = "/runtraced.v1.TraceIngest/Stream";
/// The path of `TraceIngest.Submit`.
pub(crate) const SUBMIT_PATH: &str = "/runtraced.v1.TraceIngest/Submit";

/// A codec for calls of any service: sends requests that are encoded already, and receives
/// responses of type `R`.
#[derive(Debug)]
pub struct EncodedCodec<R>(PhantomData<R>);

impl<R> Default for EncodedCodec<R> {
    fn default() -> Self {
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
pub struct CopyEncoder;

impl Encoder for CopyEncoder {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, frame: &mut EncodeBuf<'_>) -> Result<(), Status> {
        frame.put(message);
        Ok(())
    }
}
