/**
 * Reads "W", the small typed language in which the processor is written: C-like expressions over
 * i32, i64, f32 and f64 that map one to one onto WebAssembly instructions. See compile.ts for what
 * the words mean. Signedness stands in the operator: `<u`, `>>>`, `/u`; plain ones are signed.
 *
 * `a ? b : c` evaluates one side only; `h.name` is a field of the hart state; `5L` is an i64.
 */
import type { Type } from './module.ts';

export type Expr =
  | { k: 'num'; value: bigint; type: Type | null }
  | { k: 'name'; name: string }
  | { k: 'field'; base: Expr; name: string }
  | { k: 'call'; name: string; args: Expr[] }
  | { k: 'unary'; op: string; e: Expr }
  | { k: 'binary'; op: string; l: Expr; r: Expr }
  | { k: 'cond'; c: Expr; a: Expr; b: Expr };

export type Stmt =
  | { k: 'let'; name: string; type: Type | null; e: Expr }
  | { k: 'set'; target: Expr; e: Expr }
  | { k: 'if'; c: Expr; a: Stmt; b: Stmt | null }
  | { k: 'while'; c: Expr; body: Stmt }
  | { k: 'loop'; body: Stmt }
  | { k: 'break' }
  | { k: 'continue' }
  | { k: 'return'; e: Expr | null }
  | { k: 'switch'; e: Expr; cases: { values: number[]; body: Stmt[] }[]; other: Stmt[] }
  | { k: 'block'; body: Stmt[] }
  | { k: 'expr'; e: Expr };

export interface Func {
  name: string;
  kind: 'plain' | 'export' | 'inline' | 'import';
  params: { name: string; type: Type }[];
  result: Type | null;
  body: Stmt[];
}

const tokenPattern = new RegExp(
  [
    /\s+|\/\/[^\n]*/,
    /|(0x[0-9a-fA-F_]+L?|\d[\d_]*L?)|([A-Za-z_$][\w$]*)/,
    /|(>>>|<=u|>=u|<u|>u|\/u|%u|&&|\|\||[=!<>]=|<<|>>|[-+*/%&|^~!<>=?:;,.(){}[\]])/,
  ]
    .map((part) => part.source)
    .join(''),
  'gy',
);

const levels: readonly (readonly string[])[] = [
  ['||'],
  ['&&'],
  ['|'],
  ['^'],
  ['&'],
  ['==', '!='],
  ['<', '>', '<=', '>=', '<u', '>u', '<=u', '>=u'],
  ['<<', '>>', '>>>'],
  ['+', '-'],
  ['*', '/', '%', '/u', '%u'],
];

const isType = (word: string | undefined): word is Type =>
  word === 'i32' || word === 'i64' || word === 'f32' || word === 'f64';

export class Parser {
  private readonly tokens: string[] = [];
  private at = 0;

  constructor(source: string) {
    tokenPattern.lastIndex = 0;
    while (tokenPattern.lastIndex < source.length) {
      const from = tokenPattern.lastIndex;
      const match = tokenPattern.exec(source);
      if (match === null) throw new Error(`W: cannot read "${source.slice(from, from + 30)}"`);
      const token = match[1] ?? match[2] ?? match[3];
      if (token !== undefined) this.tokens.push(token);
    }
  }

  private get peek(): string | undefined {
    return this.tokens[this.at];
  }

  private next(): string {
    const token = this.tokens[this.at++];
    if (token === undefined) throw new Error('W: unexpected end');
    return token;
  }

  private accept(token: string): boolean {
    if (this.peek !== token) return false;
    this.at++;
    return true;
  }

  private expect(token: string): void {
    const got = this.next();
    if (got === token) return;
    const near = this.tokens.slice(Math.max(0, this.at - 8), this.at + 4).join(' ');
    throw new Error(`W: expected ${token}, got ${got} near "${near}"`);
  }

  program(): Func[] {
    const functions: Func[] = [];
    while (this.peek !== undefined) functions.push(this.func());
    return functions;
  }

  private func(): Func {
    let kind: Func['kind'] = 'plain';
    const word = this.next();
    if (word === 'export' || word === 'inline' || word === 'import') {
      kind = word;
      this.expect('fn');
    } else if (word !== 'fn') throw new Error(`W: expected fn, got ${word}`);
    const name = this.next();
    const params: Func['params'] = [];
    this.expect('(');
    while (!this.accept(')')) {
      const param = this.next();
      this.expect(':');
      params.push({ name: param, type: this.type() });
      this.accept(',');
    }
    const result = this.accept(':') ? this.type() : null;
    if (kind === 'import') {
      this.expect(';');
      return { name, kind, params, result, body: [] };
    }
    return { name, kind, params, result, body: this.braces() };
  }

  private type(): Type {
    const word = this.next();
    if (!isType(word)) throw new Error(`W: expected a type, got ${word}`);
    return word;
  }

  private braces(): Stmt[] {
    this.expect('{');
    const body: Stmt[] = [];
    while (!this.accept('}')) body.push(this.statement());
    return body;
  }

  /** A list of statements up to the end of the text. */
  statements(): Stmt[] {
    const body: Stmt[] = [];
    while (this.peek !== undefined) body.push(this.statement());
    return body;
  }

  statement(): Stmt {
    const word = this.peek;
    if (word === '{') return { k: 'block', body: this.braces() };
    if (word === 'let') return this.letStatement();
    if (word === 'if' || word === 'while') {
      this.next();
      this.expect('(');
      const c = this.expression();
      this.expect(')');
      const a = this.statement();
      if (word === 'while') return { k: 'while', c, body: a };
      return { k: 'if', c, a, b: this.accept('else') ? this.statement() : null };
    }
    if (word === 'loop') {
      this.next();
      return { k: 'loop', body: { k: 'block', body: this.braces() } };
    }
    if (word === 'switch') return this.switchStatement();
    if (word === 'break' || word === 'continue') {
      this.next();
      this.end();
      return { k: word };
    }
    if (word === 'return') {
      this.next();
      const e = this.peek === ';' || this.peek === undefined ? null : this.expression();
      this.end();
      return { k: 'return', e };
    }
    const e = this.expression();
    if (this.accept('=')) {
      const value = this.expression();
      this.end();
      return { k: 'set', target: e, e: value };
    }
    this.end();
    return { k: 'expr', e };
  }

  private end(): void {
    if (this.peek === undefined) return;
    this.expect(';');
  }

  private letStatement(): Stmt {
    this.next();
    const name = this.next();
    const type = this.accept(':') ? this.type() : null;
    this.expect('=');
    const e = this.expression();
    this.end();
    return { k: 'let', name, type, e };
  }

  private switchStatement(): Stmt {
    this.next();
    this.expect('(');
    const e = this.expression();
    this.expect(')');
    this.expect('{');
    const cases: { values: number[]; body: Stmt[] }[] = [];
    let other: Stmt[] = [];
    while (!this.accept('}')) {
      const values: number[] = [];
      if (!this.accept('default')) {
        this.expect('case');
        do values.push(Number(this.next()));
        while (this.accept(','));
      }
      this.expect(':');
      const body: Stmt[] = [];
      while (this.peek !== 'case' && this.peek !== 'default' && this.peek !== '}') {
        body.push(this.statement());
      }
      if (values.length === 0) other = body;
      else cases.push({ values, body });
    }
    return { k: 'switch', e, cases, other };
  }

  expression(): Expr {
    const c = this.level(0);
    if (!this.accept('?')) return c;
    const a = this.expression();
    this.expect(':');
    return { k: 'cond', c, a, b: this.expression() };
  }

  private level(depth: number): Expr {
    const ops = levels[depth];
    if (ops === undefined) return this.unary();
    let l = this.level(depth + 1);
    while (this.peek !== undefined && ops.includes(this.peek)) {
      const op = this.next();
      l = { k: 'binary', op, l, r: this.level(depth + 1) };
    }
    return l;
  }

  private unary(): Expr {
    const op = this.peek;
    if (op === '-' || op === '!' || op === '~') {
      this.next();
      const e = this.unary();
      if (op === '-' && e.k === 'num') return { k: 'num', value: -e.value, type: e.type };
      return { k: 'unary', op, e };
    }
    let e = this.primary();
    while (this.accept('.')) e = { k: 'field', base: e, name: this.next() };
    return e;
  }

  private primary(): Expr {
    const token = this.next();
    if (token === '(') {
      const e = this.expression();
      this.expect(')');
      return e;
    }
    if (/^\d/.test(token)) {
      const wide = token.endsWith('L');
      const digits = (wide ? token.slice(0, -1) : token).replaceAll('_', '');
      return { k: 'num', value: BigInt(digits), type: wide ? 'i64' : null };
    }
    if (!/^[A-Za-z_$]/.test(token)) throw new Error(`W: unexpected ${token} at ${this.at}`);
    if (!this.accept('(')) return { k: 'name', name: token };
    const args: Expr[] = [];
    while (!this.accept(')')) {
      args.push(this.expression());
      this.accept(',');
    }
    return { k: 'call', name: token, args };
  }
}
