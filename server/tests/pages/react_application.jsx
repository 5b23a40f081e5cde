/** An application of one component, that of the manual; `show(null)` takes it away. */
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Camera } from "camera";

const root = createRoot(document.getElementById("root"));
globalThis.show = (props) =>
  root.render(
    props && (
      <StrictMode>
        <Camera {...props} />
      </StrictMode>
    ),
  );
