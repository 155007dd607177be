/** A button that asks before it does something that cannot be undone. */
import { useRef } from 'preact/hooks';

export interface ConfirmProps {
  readonly label: string;
  readonly title: string;
  readonly text: string;
  readonly yes: string;
  readonly no: string;
  readonly disabled?: boolean;
  readonly onYes: () => void;
  /** Said of the button where its label alone could mean several things. */
  readonly described?: string;
}

export function ConfirmButton({ label, title, text, yes, no, disabled = false, onYes, described }: ConfirmProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  return (
    <>
      <button type="button" class="danger" disabled={disabled} aria-label={described} onClick={() => dialog.current?.showModal()}>
        {label}
      </button>
      <dialog
        ref={dialog}
        aria-label={title}
        onClose={(event) => {
          const sure = event.currentTarget.returnValue === 'yes';
          event.currentTarget.returnValue = '';
          if (sure) onYes();
        }}
      >
        <form method="dialog">
          <h2>{title}</h2>
          <p>{text}</p>
          <div class="buttons">
            <button type="submit" value="no">
              {no}
            </button>
            <button type="submit" value="yes" class="danger">
              {yes}
            </button>
          </div>
        </form>
      </dialog>
    </>
  );
}
