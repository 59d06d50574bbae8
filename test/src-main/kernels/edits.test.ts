/** An edit is applied at exactly one place or not at all. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import {
  applyEdit,
  applyEdits,
  editedFiles,
  kernelEdits,
  kernelFeatures,
  type KernelEdit,
} from '../../../src-main/kernels/edits.ts';

const swap: KernelEdit = {
  feature: 'flush',
  file: 'a.c',
  find: 'old()',
  change: { replace: 'new()' },
  why: 'Because.',
};
const grow: KernelEdit = { ...swap, change: { insertAfterLine: ['\tone();', '\ttwo();'] } };

test('a replacement takes the place of its anchor and touches nothing else', () => {
  assert.equal(applyEdit('x\n\told();\ny\n', swap), 'x\n\tnew();\ny\n');
});

test('inserted lines stand after the line of the anchor', () => {
  assert.equal(applyEdit('x\n\told();\ny\n', grow), 'x\n\told();\n\tone();\n\ttwo();\ny\n');
  assert.equal(applyEdit('old()', grow), 'old()\n\tone();\n\ttwo();');
});

test('an anchor that is missing or stands twice is refused, naming it and the file', () => {
  assert.throws(() => applyEdit('x\n', swap), { code: 'unsupported', message: /nowhere in a\.c/ });
  assert.throws(() => applyEdit('old() old()', swap), {
    code: 'unsupported',
    message: /more than once in a\.c/,
  });
  assert.throws(() => applyEdit('x', { ...swap, find: '' }), { code: 'unsupported' });
});

test('only the edits of a file are applied to it', () => {
  assert.equal(applyEdits('b.c', 'old()', [swap]), 'old()');
  assert.equal(applyEdits('a.c', 'old()', [swap]), 'new()');
  assert.deepEqual(editedFiles([swap, grow, { ...swap, file: 'b.c' }]), ['a.c', 'b.c']);
});

test('every edit of the recipe has a short anchor, a reason and a feature that is listed', () => {
  for (const edit of kernelEdits) {
    assert.ok(edit.find.length > 0 && edit.find.length <= 40 && !edit.find.includes('\n'));
    assert.match(edit.why, /\.$/);
    assert.ok(kernelFeatures.includes(edit.feature));
  }
});
