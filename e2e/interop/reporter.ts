// One line a scenario, PASS or FAIL, and a closing count.
import type { FullResult, Reporter, TestCase, TestResult } from '@playwright/test/reporter';

export default class PassFail implements Reporter {
  private passed = 0;
  private failed = 0;

  onTestEnd(test: TestCase, result: TestResult): void {
    const browser = test.parent.project()?.name ?? '';
    const good = result.status === 'passed';
    good ? this.passed++ : this.failed++;
    const measured = result.annotations.map(({ type, description }) => `; ${type} ${description ?? ''}`).join('');
    console.log(`${good ? 'PASS' : 'FAIL'} ${browser}: ${test.title} (${(result.duration / 1000).toFixed(1)} s${measured})`);
    if (!good) console.log(result.errors.map((error) => error.message ?? '').join('\n'));
  }

  onEnd(_result: FullResult): void {
    console.log(`interop: ${this.passed} passed, ${this.failed} failed`);
  }
}
