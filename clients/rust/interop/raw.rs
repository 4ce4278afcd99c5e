//! Any unary RPC by its name, with a message that is encoded already, over the connection that the stubs have.

use http::uri::PathAndQuery;
use tokenauthority_client::Transport;
use tonic::{
    Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

pub async fn call(transport: Transport, method: &str, message: Vec<u8>) -> Result<Vec<u8>, Status> {
    let path =
        PathAndQuery::try_from(format!("/{method}")).map_err(|error| Status::invalid_argument(error.to_string()))?;
    let mut stub = Grpc::new(transport).max_decoding_message_size(48 << 20);
    Ok(stub.unary(Request::new(message), path, Raw).await?.into_inner())
}

/// A codec that leaves messages as they are.
#[derive(Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, message: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        bytes::BufMut::put_slice(buffer, &message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let length = bytes::Buf::remaining(buffer);
        Ok(Some(bytes::Buf::copy_to_bytes(buffer, length).to_vec()))
    }
}
