/**
 * Compressed instructions (C for RV64 with D, and Zcb): each 16-bit code expands to the 32-bit
 * instruction that does the same, or to 0 when it is illegal. Both engines look codes up in a
 * table made from this once; nothing else knows that C exists, but for lengths.
 */
const regC = (half: number, at: number) => 8 + ((half >> at) & 7);
const bit = (half: number, from: number, to: number) => ((half >> from) & 1) << to;

const encI = (op: number, f3: number, rd: number, rs1: number, imm: number) =>
  ((imm & 0xfff) << 20) | (rs1 << 15) | (f3 << 12) | (rd << 7) | op;
const encR = (op: number, f3: number, f7: number, rd: number, rs1: number, rs2: number) =>
  (f7 << 25) | (rs2 << 20) | (rs1 << 15) | (f3 << 12) | (rd << 7) | op;
const encS = (op: number, f3: number, rs1: number, rs2: number, imm: number) =>
  ((imm >> 5) << 25) | (rs2 << 20) | (rs1 << 15) | (f3 << 12) | ((imm & 31) << 7) | op;
const encB = (f3: number, rs1: number, imm: number) =>
  (((imm >> 12) & 1) << 31) | (((imm >> 5) & 63) << 25) | (rs1 << 15) | (f3 << 12) |
  (((imm >> 1) & 15) << 8) | (((imm >> 11) & 1) << 7) | 0x63; // prettier-ignore
const encJ = (rd: number, imm: number) =>
  (((imm >> 20) & 1) << 31) | (((imm >> 1) & 0x3ff) << 21) | (((imm >> 11) & 1) << 20) |
  (((imm >> 12) & 0xff) << 12) | (rd << 7) | 0x6f; // prettier-ignore

const offD = (c: number) => ((c >> 7) & 0x38) | ((c << 1) & 0xc0);
const offW = (c: number) => ((c >> 7) & 0x38) | bit(c, 6, 2) | bit(c, 5, 6);
const imm6 = (c: number) => ((c << 19) >> 31 << 5) | ((c >> 2) & 31);

/** The 32-bit form of a 16-bit code (0 when there is none). */
export function expand(c: number): number {
  const f3 = (c >> 13) & 7;
  switch (c & 3) {
    case 0:
      return quadrant0(c, f3) | 0;
    case 1:
      return quadrant1(c, f3) | 0;
    case 2:
      return quadrant2(c, f3) | 0;
    default:
      return 0;
  }
}

function quadrant0(c: number, f3: number): number {
  const rs1 = regC(c, 7);
  const rd = regC(c, 2);
  switch (f3) {
    case 0: {
      const imm = ((c >> 7) & 0x30) | ((c >> 1) & 0x3c0) | bit(c, 6, 2) | bit(c, 5, 3);
      return imm === 0 ? 0 : encI(0x13, 0, rd, 2, imm);
    }
    case 1:
      return encI(0x07, 3, rd, rs1, offD(c));
    case 2:
      return encI(0x03, 2, rd, rs1, offW(c));
    case 3:
      return encI(0x03, 3, rd, rs1, offD(c));
    case 4:
      return zcbMemory(c, rs1, rd);
    case 5:
      return encS(0x27, 3, rs1, rd, offD(c));
    case 6:
      return encS(0x23, 2, rs1, rd, offW(c));
    default:
      return encS(0x23, 3, rs1, rd, offD(c));
  }
}

function zcbMemory(c: number, rs1: number, rd: number): number {
  const byte = bit(c, 6, 0) | bit(c, 5, 1);
  const half = bit(c, 5, 1);
  switch ((c >> 10) & 7) {
    case 0:
      return encI(0x03, 4, rd, rs1, byte);
    case 1:
      return encI(0x03, (c & 0x40) !== 0 ? 1 : 5, rd, rs1, half);
    case 2:
      return encS(0x23, 0, rs1, rd, byte);
    case 3:
      return (c & 0x40) !== 0 ? 0 : encS(0x23, 1, rs1, rd, half);
    default:
      return 0;
  }
}

function quadrant1(c: number, f3: number): number {
  const rd = (c >> 7) & 31;
  const low = regC(c, 7);
  switch (f3) {
    case 0:
      return encI(0x13, 0, rd, rd, imm6(c));
    case 1:
      return rd === 0 ? 0 : encI(0x1b, 0, rd, rd, imm6(c));
    case 2:
      return encI(0x13, 0, rd, 0, imm6(c));
    case 3: {
      if (rd === 2) {
        const imm =
          (((c << 19) >> 31) << 9) | bit(c, 6, 4) | bit(c, 5, 6) | (((c >> 3) & 3) << 7) |
          bit(c, 2, 5); // prettier-ignore
        return imm === 0 ? 0 : encI(0x13, 0, 2, 2, imm);
      }
      const imm = imm6(c);
      if (imm === 0) return 0;
      return ((imm << 12) & ~0xfff) | (rd << 7) | 0x37;
    }
    case 4:
      return arithmetic(c, low);
    case 5: {
      const imm =
        (((c << 19) >> 31) << 11) | bit(c, 11, 4) | (((c >> 9) & 3) << 8) | bit(c, 8, 10) |
        bit(c, 7, 6) | bit(c, 6, 7) | (((c >> 3) & 7) << 1) | bit(c, 2, 5); // prettier-ignore
      return encJ(0, imm);
    }
    default: {
      const imm =
        (((c << 19) >> 31) << 8) | (((c >> 10) & 3) << 3) | (((c >> 5) & 3) << 6) |
        (((c >> 3) & 3) << 1) | bit(c, 2, 5); // prettier-ignore
      return encB(f3 === 6 ? 0 : 1, low, imm);
    }
  }
}

function arithmetic(c: number, rd: number): number {
  const shift = bit(c, 12, 5) | ((c >> 2) & 31);
  switch ((c >> 10) & 3) {
    case 0:
      return encI(0x13, 5, rd, rd, shift);
    case 1:
      return encI(0x13, 5, rd, rd, shift | 0x400);
    case 2:
      return encI(0x13, 7, rd, rd, imm6(c));
  }
  const rs2 = regC(c, 2);
  switch (((c >> 10) & 4) | ((c >> 5) & 3)) {
    case 0:
      return encR(0x33, 0, 0x20, rd, rd, rs2);
    case 1:
      return encR(0x33, 4, 0, rd, rd, rs2);
    case 2:
      return encR(0x33, 6, 0, rd, rd, rs2);
    case 3:
      return encR(0x33, 7, 0, rd, rd, rs2);
    case 4:
      return encR(0x3b, 0, 0x20, rd, rd, rs2);
    case 5:
      return encR(0x3b, 0, 0, rd, rd, rs2);
    case 6:
      return encR(0x33, 0, 1, rd, rd, rs2);
  }
  switch ((c >> 2) & 7) {
    case 0:
      return encI(0x13, 7, rd, rd, 0xff);
    case 1:
      return encI(0x13, 1, rd, rd, 0x604);
    case 2:
      return encI(0x3b, 4, rd, rd, 0x080);
    case 3:
      return encI(0x13, 1, rd, rd, 0x605);
    case 4:
      return encR(0x3b, 0, 4, rd, rd, 0);
    case 5:
      return encI(0x13, 4, rd, rd, -1);
    default:
      return 0;
  }
}

function quadrant2(c: number, f3: number): number {
  const rd = (c >> 7) & 31;
  const rs2 = (c >> 2) & 31;
  const ldsp = bit(c, 12, 5) | ((c >> 2) & 0x18) | ((c << 4) & 0x1c0);
  const sdsp = ((c >> 7) & 0x38) | ((c >> 1) & 0x1c0);
  switch (f3) {
    case 0:
      return encI(0x13, 1, rd, rd, bit(c, 12, 5) | rs2);
    case 1:
      return encI(0x07, 3, rd, 2, ldsp);
    case 2: {
      const imm = bit(c, 12, 5) | ((c >> 2) & 0x1c) | ((c << 4) & 0xc0);
      return rd === 0 ? 0 : encI(0x03, 2, rd, 2, imm);
    }
    case 3:
      return rd === 0 ? 0 : encI(0x03, 3, rd, 2, ldsp);
    case 4:
      if ((c & 0x1000) === 0) {
        if (rs2 !== 0) return encR(0x33, 0, 0, rd, 0, rs2);
        return rd === 0 ? 0 : encI(0x67, 0, 0, rd, 0);
      }
      if (rs2 !== 0) return encR(0x33, 0, 0, rd, rd, rs2);
      return rd === 0 ? 0x00100073 : encI(0x67, 0, 1, rd, 0);
    case 5:
      return encS(0x27, 3, 2, rs2, sdsp);
    case 6:
      return encS(0x23, 2, 2, rs2, ((c >> 7) & 0x3c) | ((c >> 1) & 0xc0));
    default:
      return encS(0x23, 3, 2, rs2, sdsp);
  }
}

/** An opcode that stands for nothing: what illegal codes expand to. */
const illegalCode = 0x6b;

/** The whole table, index = code. */
export function expansionTable(): Uint32Array {
  const table = new Uint32Array(0x1_0000);
  for (let code = 0; code < 0x1_0000; code++) table[code] = expand(code) >>> 0 || illegalCode;
  return table;
}
