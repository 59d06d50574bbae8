/**
 * Node's zlib as the decoders this room needs: block codecs for qcow2 clusters, and `unwrap`,
 * which takes one compression off a source as a stream of plain bytes.
 *
 * Must hold: damage is a `bad-input` refusal, a cut-off file never passes as whole, and what is
 * kept is bounded by the format's own window (zstd: 128 MiB, xz: 256 MiB).
 */
import { createHash } from 'node:crypto';
import { Readable, pipeline, type Transform } from 'node:stream';
import {
  constants, createGunzip, createZstdDecompress, inflateRawSync, zstdDecompressSync,
} from 'node:zlib';
import { Refusal } from '../../base/refusal.ts';
import { unbzip2 } from '../bzip2.ts';
import type { Codecs } from '../codec.ts';
import { Intake } from '../intake.ts';
import type { Wrapper } from '../magic.ts';
import type { ByteSource } from '../source.ts';
import { unxz } from '../xz.ts';
import { frameLength, nextFrame } from '../zstd-frame.ts';

export const codecs: Codecs = {
  async inflateRaw(data, limit) {
    try {
      return inflateRawSync(data, { maxOutputLength: limit });
    } catch {
      throw new Refusal('bad-input', 'A compressed cluster of the image is damaged.');
    }
  },
  async zstd(data, limit) {
    const frame = data.subarray(0, frameLength(data));
    try {
      return zstdDecompressSync(frame, { maxOutputLength: limit });
    } catch {
      throw new Refusal('bad-input', 'A compressed cluster of the image is damaged.');
    }
  },
};

export interface UnwrapOptions {
  signal?: AbortSignal;
  /** Told how many bytes of the compressed source were taken in. */
  onRead?: (position: number) => void;
}

export function unwrap(
  source: ByteSource, wrapper: Wrapper, options: UnwrapOptions = {},
): AsyncIterable<Uint8Array> {
  switch (wrapper) {
    case 'xz':
      return unxz(source, { ...options, sha256: () => createHash('sha256') });
    case 'bzip2':
      return unbzip2(source, options);
    case 'gzip':
      return throughZlib(partsOf(source, options), 'gzip', createGunzip());
    case 'zstd':
      return unzstd(source, options);
  }
}

async function* unzstd(source: ByteSource, options: UnwrapOptions): AsyncGenerator<Uint8Array> {
  const intake = new Intake(source, options.signal, options.onRead);
  for (;;) {
    const frame = await nextFrame(intake);
    if (!frame) return;
    const params = { [constants.ZSTD_d_windowLogMax]: 27 };
    yield* throughZlib(frame, 'zstd', createZstdDecompress({ params, chunkSize: 128 * 1024 }));
  }
}

async function* throughZlib(
  parts: AsyncIterable<Uint8Array>, name: string, decoder: Transform,
): AsyncGenerator<Uint8Array> {
  // The loop below sees the decoder's end and errors; a fault of the input is kept for it here.
  let fault: unknown;
  const input = Readable.from(parts, { objectMode: false });
  input.on('error', (thrown) => (fault = thrown));
  pipeline(input, decoder, () => {});
  try {
    for await (const part of decoder) yield part as Uint8Array;
  } catch (thrown) {
    if (fault instanceof Refusal) throw fault;
    if (thrown instanceof Refusal) throw thrown;
    throw new Refusal('bad-input', `The ${name} compressed file is damaged or cut off.`);
  } finally {
    decoder.destroy();
    input.destroy();
  }
}

async function* partsOf(source: ByteSource, options: UnwrapOptions): AsyncGenerator<Uint8Array> {
  const unitBytes = 256 * 1024;
  for (let at = 0; at < source.size; at += unitBytes) {
    if (options.signal?.aborted) throw new Refusal('cancelled', 'Cancelled.');
    yield await source.read(at, Math.min(unitBytes, source.size - at));
    options.onRead?.(Math.min(at + unitBytes, source.size));
  }
}
