/** Randomness that a seed repeats: a function from a bound to a whole number below it. */
export type Random = (below: number) => number;

export function generator(seed: number): Random {
  let state = (seed * 2654435761) >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state % below;
  };
}

export function pick<T>(random: Random, from: readonly T[]): T {
  return from[random(from.length)]!;
}

/** 64 bits, of which every other time something that programs trip over. */
export function wideNumber(random: Random): bigint {
  const special = [
    0n, 1n, -1n, 1n << 63n, (1n << 63n) - 1n, 0x7fff_ffffn, -0x8000_0000n,
    0x3ff0_0000_0000_0000n, 0x7ff0_0000_0000_0000n, 0xfff0_0000_0000_0000n,
    0x7ff8_0000_0000_0000n, 0x7ff0_0000_0000_0001n, 0x0010_0000_0000_0000n, 1n << 52n,
    0x8000_0000_0000_0001n, 0x000f_ffff_ffff_ffffn, 0x7fef_ffff_ffff_ffffn,
    0xffff_ffff_7f80_0000n, 0xffff_ffff_7fc0_0000n, 0xffff_ffff_7f80_0001n,
    0xffff_ffff_0080_0000n, 0xffff_ffff_0000_0001n, 0xffff_ffff_3f80_0000n,
    0xffff_ffff_ffff_7c01n, 0xffff_ffff_ffff_3c00n, 0xffff_ffff_ffff_0001n,
  ]; // prettier-ignore
  if (random(2) === 0) return BigInt.asUintN(64, pick(random, special));
  const low = BigInt(random(0x1_0000_0000));
  const high = random(3) === 0 ? 0xffff_ffffn : BigInt(random(0x1_0000_0000));
  return (high << 32n) | low;
}
