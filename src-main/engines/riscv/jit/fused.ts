/**
 * Whether this host's `f64x2.relaxed_madd` rounds once (fused), as IEEE's multiply-add must. Where
 * it rounds twice, or is missing, the exact helper does all the work.
 */
import { Bytes } from '../wasm/bytes.ts';

export const maddFused: readonly number[] = [0xfd, 0x87, 0x02];

function probe(): boolean {
  const f64 = 0x7c;
  const splat = (local: number) => [0x20, local, 0xfd, 0x14];
  const code = [...splat(0), ...splat(1), ...splat(2), ...maddFused, 0xfd, 0x21, 0, 0x0b];
  const out = new Bytes();
  out.all([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
  out.all([1, 8, 1, 0x60, 3, f64, f64, f64, 1, f64]);
  out.all([3, 2, 1, 0]);
  out.all([7, 5, 1, 1, 0x66, 0, 0]);
  out.all([10, code.length + 3, 1, code.length + 1, 0, ...code]);
  try {
    const instance = new WebAssembly.Instance(new WebAssembly.Module(out.take()), {});
    const f = instance.exports['f'] as (a: number, b: number, c: number) => number;
    const e = 2 ** -52;
    return f(1 + e, 1 + e, -(1 + 2 * e)) === e * e;
  } catch {
    return false;
  }
}

export const hostFusesMadd = probe();
