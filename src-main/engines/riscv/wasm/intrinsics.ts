/**
 * W's words that are one WebAssembly instruction each: name → operand types, result, opcode.
 * Memory words take a constant byte offset as an optional last argument: `load64(p, 8)`.
 */
import type { Type } from './module.ts';

export interface Intrinsic {
  params: readonly Type[];
  result: Type | null;
  code: readonly number[];
  /** log2 of the natural alignment, for memory words (they also take an offset). */
  align?: number;
}

const table = new Map<string, Intrinsic>();
const plain = (name: string, params: Type[], result: Type, ...code: number[]) =>
  table.set(name, { params, result, code });
const memory = (name: string, rest: Type[], result: Type | null, align: number, ...c: number[]) =>
  table.set(name, { params: ['i32', ...rest], result, code: c, align });

plain('i32_of', ['i64'], 'i32', 0xa7);
plain('sx', ['i32'], 'i64', 0xac);
plain('zx', ['i32'], 'i64', 0xad);
plain('sx8', ['i64'], 'i64', 0xc2);
plain('sx16', ['i64'], 'i64', 0xc3);
plain('sx32', ['i64'], 'i64', 0xc4);
plain('clz', ['i64'], 'i64', 0x79);
plain('ctz', ['i64'], 'i64', 0x7a);
plain('popcnt', ['i64'], 'i64', 0x7b);
plain('rotl', ['i64', 'i64'], 'i64', 0x89);
plain('rotr', ['i64', 'i64'], 'i64', 0x8a);
plain('clz32', ['i32'], 'i32', 0x67);
plain('ctz32', ['i32'], 'i32', 0x68);
plain('popcnt32', ['i32'], 'i32', 0x69);
plain('rotl32', ['i32', 'i32'], 'i32', 0x77);
plain('rotr32', ['i32', 'i32'], 'i32', 0x78);
plain('f64_bits', ['i64'], 'f64', 0xbf);
plain('bits_f64', ['f64'], 'i64', 0xbd);
plain('f32_bits', ['i32'], 'f32', 0xbe);
plain('bits_f32', ['f32'], 'i32', 0xbc);
plain('sqrt64', ['f64'], 'f64', 0x9f);
plain('abs64', ['f64'], 'f64', 0x99);
plain('sqrt32', ['f32'], 'f32', 0x91);
plain('abs32', ['f32'], 'f32', 0x8b);
plain('promote', ['f32'], 'f64', 0xbb);
plain('demote', ['f64'], 'f32', 0xb6);
plain('f64_s64', ['i64'], 'f64', 0xb9);
plain('f64_u64', ['i64'], 'f64', 0xba);
plain('f64_s32', ['i32'], 'f64', 0xb7);
plain('f64_u32', ['i32'], 'f64', 0xb8);
plain('f32_s64', ['i64'], 'f32', 0xb4);
plain('f32_u64', ['i64'], 'f32', 0xb5);
plain('s64_f64', ['f64'], 'i64', 0xfc, 6);
plain('u64_f64', ['f64'], 'i64', 0xfc, 7);
plain('s32_f64', ['f64'], 'i32', 0xfc, 2);
plain('u32_f64', ['f64'], 'i32', 0xfc, 3);
plain('trunc64', ['f64'], 'f64', 0x9d);
plain('nearest64', ['f64'], 'f64', 0x9e);

memory('load64', [], 'i64', 3, 0x29);
memory('load32', [], 'i32', 2, 0x28);
memory('load8u', [], 'i32', 0, 0x2d);
memory('load8s', [], 'i32', 0, 0x2c);
memory('load16u', [], 'i32', 1, 0x2f);
memory('load8s64', [], 'i64', 0, 0x30);
memory('load8u64', [], 'i64', 0, 0x31);
memory('load16s64', [], 'i64', 1, 0x32);
memory('load16u64', [], 'i64', 1, 0x33);
memory('load32s64', [], 'i64', 2, 0x34);
memory('load32u64', [], 'i64', 2, 0x35);
memory('loadf64', [], 'f64', 3, 0x2b);
memory('storef64', ['f64'], null, 3, 0x39);
memory('store64', ['i64'], null, 3, 0x37);
memory('store32', ['i32'], null, 2, 0x36);
memory('store8', ['i32'], null, 0, 0x3a);
memory('store16', ['i32'], null, 1, 0x3b);
memory('store8l', ['i64'], null, 0, 0x3c);
memory('store16l', ['i64'], null, 1, 0x3d);
memory('store32l', ['i64'], null, 2, 0x3e);
memory('atomic_load32', [], 'i32', 2, 0xfe, 0x10);
memory('atomic_load64', [], 'i64', 3, 0xfe, 0x11);
memory('atomic_store32', ['i32'], null, 2, 0xfe, 0x17);
memory('atomic_store64', ['i64'], null, 3, 0xfe, 0x18);
memory('atomic_add32', ['i32'], 'i32', 2, 0xfe, 0x1e);
memory('atomic_add64', ['i64'], 'i64', 3, 0xfe, 0x1f);
memory('atomic_and32', ['i32'], 'i32', 2, 0xfe, 0x2c);
memory('atomic_and64', ['i64'], 'i64', 3, 0xfe, 0x2d);
memory('atomic_or32', ['i32'], 'i32', 2, 0xfe, 0x33);
memory('atomic_or64', ['i64'], 'i64', 3, 0xfe, 0x34);
memory('atomic_xor32', ['i32'], 'i32', 2, 0xfe, 0x3a);
memory('atomic_xor64', ['i64'], 'i64', 3, 0xfe, 0x3b);
memory('atomic_swap32', ['i32'], 'i32', 2, 0xfe, 0x41);
memory('atomic_swap64', ['i64'], 'i64', 3, 0xfe, 0x42);
memory('atomic_cas32', ['i32', 'i32'], 'i32', 2, 0xfe, 0x48);
memory('atomic_cas64', ['i64', 'i64'], 'i64', 3, 0xfe, 0x49);

export const intrinsics: ReadonlyMap<string, Intrinsic> = table;

/** operator → opcode by operand type; the second table's results are i32. */
export const arithmetic: Record<string, Partial<Record<Type, number>>> = {
  '+': { i32: 0x6a, i64: 0x7c, f32: 0x92, f64: 0xa0 },
  '-': { i32: 0x6b, i64: 0x7d, f32: 0x93, f64: 0xa1 },
  '*': { i32: 0x6c, i64: 0x7e, f32: 0x94, f64: 0xa2 },
  '/': { i32: 0x6d, i64: 0x7f, f32: 0x95, f64: 0xa3 },
  '/u': { i32: 0x6e, i64: 0x80 },
  '%': { i32: 0x6f, i64: 0x81 },
  '%u': { i32: 0x70, i64: 0x82 },
  '&': { i32: 0x71, i64: 0x83 },
  '|': { i32: 0x72, i64: 0x84 },
  '^': { i32: 0x73, i64: 0x85 },
  '<<': { i32: 0x74, i64: 0x86 },
  '>>': { i32: 0x75, i64: 0x87 },
  '>>>': { i32: 0x76, i64: 0x88 },
};

export const comparison: Record<string, Partial<Record<Type, number>>> = {
  '==': { i32: 0x46, i64: 0x51, f32: 0x5b, f64: 0x61 },
  '!=': { i32: 0x47, i64: 0x52, f32: 0x5c, f64: 0x62 },
  '<': { i32: 0x48, i64: 0x53, f32: 0x5d, f64: 0x63 },
  '<u': { i32: 0x49, i64: 0x54 },
  '>': { i32: 0x4a, i64: 0x55, f32: 0x5e, f64: 0x64 },
  '>u': { i32: 0x4b, i64: 0x56 },
  '<=': { i32: 0x4c, i64: 0x57, f32: 0x5f, f64: 0x65 },
  '<=u': { i32: 0x4d, i64: 0x58 },
  '>=': { i32: 0x4e, i64: 0x59, f32: 0x60, f64: 0x66 },
  '>=u': { i32: 0x4f, i64: 0x5a },
};
