/**
 * The contract as its clients know it: for each method one call that is accepted and one that is
 * refused, and the whole of it as JSON Schema, kept in `vN.json` beside this file. When a change
 * is meant, renew that file with `NYMPH_RENEW=1 node --test test/contract/contract.test.ts` and
 * read its difference; when an old client would misunderstand us, raise `contractVersion` first.
 */
import { suite, test } from 'node:test';
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { refusalCodes } from '../../src-main/base/refusal.ts';
import { errorSchema, exitCodes } from '../../src-main/contract/errors.ts';
import { events } from '../../src-main/contract/events.ts';
import { methods, type MethodName, type Row } from '../../src-main/contract/methods.ts';
import { machineState } from '../../src-main/contract/machine.ts';
import { contractVersion } from '../../src-main/contract/version.ts';
import { examples } from './examples.ts';

const names = Object.keys(methods) as MethodName[];
const table: Record<MethodName, Row> = methods;

suite('each method', () => {
  for (const name of names) {
    test(`${name} takes what it should and refuses what it should not`, () => {
      const { accepted, refused } = examples[name];
      const good = table[name].params.safeParse(accepted);
      assert.ok(good.success, `${JSON.stringify(accepted)}: ${good.error?.message}`);
      const bad = table[name].params.safeParse(refused);
      assert.ok(!bad.success, `${JSON.stringify(refused)} was accepted`);
      const stranger = { ...(accepted as object), unknownWord: 1 };
      assert.ok(!table[name].params.safeParse(stranger).success, 'an unknown word was accepted');
    });
  }

  test('says in one line what it is for', () => {
    for (const name of names) assert.match(table[name].about, /^[A-Z].{2,100}[^.]$/, name);
  });

  test('that is legal in some states only names the machine it is about', () => {
    for (const name of names.filter((each) => table[each].when)) {
      assert.ok(Object.hasOwn(examples[name].accepted as object, 'machine'), name);
      for (const state of table[name].when!) assert.ok(machineState.options.includes(state), name);
    }
  });
});

test('each code of a refusal can travel and has an exit code', () => {
  for (const code of refusalCodes) {
    assert.ok(errorSchema.safeParse({ code, message: 'No.' }).success);
    assert.ok(exitCodes[code] > 0);
  }
  const { usage, 'not-found': missing, 'wrong-state': state } = exitCodes;
  assert.deepEqual([usage, missing, state], [2, 3, 4]);
});

function schemaOf(schema: z.ZodType, io: 'input' | 'output'): unknown {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any' });
  return rest;
}

function wholeContract(): string {
  const rows = names.map((name) => {
    const { params, result, when, stream } = table[name];
    return [
      name,
      {
        ...(when ? { when } : {}),
        ...(stream ? { stream } : {}),
        params: schemaOf(params, 'input'),
        result: schemaOf(result, 'output'),
      },
    ];
  });
  const told = Object.entries(events).map(([name, schema]) => [name, schemaOf(schema, 'output')]);
  const whole = {
    contract: contractVersion,
    methods: Object.fromEntries(rows),
    events: Object.fromEntries(told),
    error: schemaOf(errorSchema, 'output'),
  };
  return `${JSON.stringify(whole, null, 1)}\n`;
}

test('the contract is the one that its clients were written against', () => {
  const path = join(import.meta.dirname, `v${contractVersion}.json`);
  if (process.env['NYMPH_RENEW'] === '1') writeFileSync(path, wholeContract());
  assert.ok(existsSync(path), `no ${path}; the head of this file says how to make it`);
  const kept = JSON.parse(readFileSync(path, 'utf8')) as unknown;
  assert.deepEqual(
    JSON.parse(wholeContract()),
    kept,
    'the contract changed; see the head of this file',
  );
});
