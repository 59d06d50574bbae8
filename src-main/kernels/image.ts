/**
 * A kernel of the portable engine: a RISC-V boot image (Documentation/arch/riscv/boot-image-header
 * in the kernel's source), raw and uncompressed. Read from its bytes, never by running it.
 */
import { Refusal } from '../base/refusal.ts';

export type ImageKernel = {
  readonly version: string;
  readonly smp: boolean;
  /** KVM is built in, so machines can run inside of one with this kernel. */
  readonly nesting: boolean;
};

/** `RSC\x05`, the second magic number, at byte 56. */
const magic = 0x05435352;
const magicAt = 56;
const bannerMax = 400;
/** What KVM says where it cannot be used. */
const kvmWords = 'hypervisor extension not available';

export function isRiscvImage(bytes: Uint8Array): boolean {
  if (bytes.length < 64) return false;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return view.getUint32(magicAt, true) === magic;
}

/** @throws Refusal `bad-input`: no RISC-V boot image, or one that does not say what it is. */
export function inspectImage(bytes: Uint8Array): ImageKernel {
  if (!isRiscvImage(bytes)) {
    throw new Refusal('bad-input', 'This file is not a RISC-V kernel image.');
  }
  const banner = findBanner(bytes);
  const version = /^Linux version (\d[\w.+~-]*) /.exec(banner)?.[1];
  if (version === undefined) {
    throw new Refusal('bad-input', 'This RISC-V image is no Linux kernel, or it is compressed.');
  }
  const nesting = !places(bytes, kvmWords).next().done;
  return { version, smp: / SMP[ _]/.test(banner), nesting };
}

function findBanner(bytes: Uint8Array): string {
  for (const at of places(bytes, 'Linux version ')) {
    const text = new TextDecoder('latin1').decode(bytes.subarray(at, at + bannerMax));
    // The same words also begin a format string; the banner has a number behind them.
    if (/^Linux version \d/.test(text)) return text.split(/[\n\0]/)[0]!;
  }
  return '';
}

function* places(bytes: Uint8Array, text: string): Generator<number> {
  const wanted = new TextEncoder().encode(text);
  for (let at = bytes.indexOf(wanted[0]!); at >= 0; at = bytes.indexOf(wanted[0]!, at + 1)) {
    if (wanted.every((byte, index) => bytes[at + index] === byte)) yield at;
  }
}
