/** The view of training: a run where the address names one, else a new run and the list of those there are. */
import { useEffect } from 'preact/hooks';
import { refreshRuns } from '../actions.ts';
import { route } from '../route.ts';
import { NewRun } from './new-run.tsx';
import { RunPage } from './run.tsx';
import { RunList } from './run-list.tsx';

export function TrainView() {
  const { rest } = route.value;
  useEffect(() => {
    if (rest === '') void refreshRuns();
  }, [rest]);
  if (rest !== '') return <RunPage key={rest} name={rest} />;
  return (
    <>
      <NewRun />
      <RunList />
    </>
  );
}
