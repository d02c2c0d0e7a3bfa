"""The Studio: watch a network learn, in the browser. The only package that imports NiceGUI."""
