/**
 * The published JSON Schema of machine.yaml, for editors, is the one the parser follows. To renew
 * it after a change: NYMPH_RENEW=1 node --test test/src-main/machine/schema.test.ts
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { specJsonSchema } from '../../../src-main/machine/spec.ts';

const file = join(import.meta.dirname, '../../../resources/machine.schema.json');

test('resources/machine.schema.json is what machine.yaml is held against', () => {
  const current = `${JSON.stringify(specJsonSchema(), null, 2)}\n`;
  if (process.env['NYMPH_RENEW']) writeFileSync(file, current);
  assert.equal(readFileSync(file, 'utf8'), current);
});
