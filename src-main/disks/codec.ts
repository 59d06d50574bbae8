/**
 * What the pure readers need from the host to decode: two block codecs. The Node half gives them
 * from zlib; a test may give its own.
 */

/**
 * Decodes one block. `data` may be followed by padding, which is ignored. The result is at most
 * `limit` bytes; damage, or more output than `limit`, is a `bad-input` refusal.
 */
export type BlockDecoder = (data: Uint8Array, limit: number) => Promise<Uint8Array>;

export interface Codecs {
  readonly inflateRaw: BlockDecoder;
  readonly zstd: BlockDecoder;
}
